"""Requests and answers as rows of numbers for learning: a shape, and weighted n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.text.ngrams import NUM_BUCKETS, char_ngrams, hashed, word_ngrams
from edge_llm.confidence.text.shape import answer_shape, query_shape

TextKind: TypeAlias = Literal["query", "answer"]
"""What is looked at: the prompt alone, or prompt and answer."""

CLIP = 4.0
"""Standard deviations; farther out counts as this far."""


class TextRow(NamedTuple):
    """One request as numbers, before any scaling."""

    shape: list[float]
    counts: dict[int, float]


def text_row(kind: TextKind, prompt: str, answer: str = "") -> TextRow:
    """The numbers of one request; of an answer pieces of words count, of a prompt the words."""
    if kind == "query":
        return TextRow(query_shape(prompt), hashed(word_ngrams(prompt)))
    shape = [*query_shape(prompt), *answer_shape(prompt, answer)]
    return TextRow(shape, hashed(char_ngrams(answer)))


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """What makes shapes and counts comparable; from the rows that are learned from."""

    mean: Floats
    """(s,) of the shape."""
    spread: Floats
    """(s,) standard deviations; 1 where nothing differs."""
    idf: Floats
    """(NUM_BUCKETS,) log((1 + n) / (1 + rows that hit the bucket)) + 1."""

    def shapes(self, rows: Sequence[TextRow]) -> Floats:
        """(n, s)."""
        raw = np.array([row.shape for row in rows], np.float64)
        return np.clip((raw - self.mean) / self.spread, -CLIP, CLIP)

    def ngrams(self, rows: Sequence[TextRow]) -> Floats:
        """(n, NUM_BUCKETS), each row of length 1, or 0 where the text is empty."""
        table = np.zeros((len(rows), NUM_BUCKETS))
        for row, counts in zip(table, (row.counts for row in rows), strict=True):
            row[list(counts)] = list(counts.values())
        table *= self.idf
        lengths: Floats = np.linalg.norm(table, axis=1, keepdims=True)
        return np.asarray(table / np.maximum(lengths, 1e-12), np.float64)


def fit_scaling(rows: Sequence[TextRow]) -> Scaling:
    """The scaling that these rows, at least one, ask for."""
    shapes = np.array([row.shape for row in rows], np.float64)
    hits = np.zeros(NUM_BUCKETS)
    for row in rows:
        hits[list(row.counts)] += 1.0
    spread = shapes.std(axis=0)
    return Scaling(
        mean=shapes.mean(axis=0),
        spread=np.where(spread > 0.0, spread, 1.0),
        idf=np.log((1.0 + len(rows)) / (1.0 + hits)) + 1.0,
    )
