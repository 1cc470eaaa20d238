"""What the texts alone tell: whether a request, or an answer to it, looks like those that gain.

Learned from the user's own outcomes; says nothing about requests of another kind.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, Indices, share_column
from edge_llm.confidence.text.kernel_logistic import (
    choose_penalty,
    fit_dual,
    sigmoid,
)
from edge_llm.confidence.text.ngrams import NUM_BUCKETS
from edge_llm.confidence.text.vectors import (
    Scaling,
    TextKind,
    TextRow,
    fit_scaling,
    text_row,
)
from edge_llm.errors import CalibrationDataError, CalibrationFormatError

NGRAM_SHARE = 60.0
"""How much n-grams weigh beside the shape: |row|^2 of them, where each column of a shape has 1."""

PENALTIES = (20.0, 60.0, 180.0)
MIN_ROWS = 30
MAX_ROWS = 2500
"""Of more, so many are drawn: learning takes the cube of them."""
FOLDS = 5
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class TextPrior:
    """A learned rule for texts."""

    kind: TextKind
    scaling: Scaling
    shape_weights: Floats
    ngram_weights: Floats
    bias: float
    penalty: float
    num_labels: int

    def predict(self, prompt: str, answer: str = "") -> float:
        """How little asking the cloud would help, in [0, 1], as far as the texts tell.

        0.5: as much would be lost by it as won.
        """
        return float(self.predict_rows([text_row(self.kind, prompt, answer)])[0])

    def predict_rows(self, rows: Sequence[TextRow]) -> Floats:
        """The same for (n,) rows."""
        decision = self.scaling.shapes(rows) @ self.shape_weights + self.bias
        return 1.0 - sigmoid(decision + self.scaling.ngrams(rows) @ self.ngram_weights)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` turns back: plain values, arrays as base64 of float32."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "bias": self.bias,
            "penalty": self.penalty,
            "num_labels": self.num_labels,
            "mean": _pack(self.scaling.mean),
            "spread": _pack(self.scaling.spread),
            "idf": _pack(self.scaling.idf),
            "shape_weights": _pack(self.shape_weights),
            "ngram_weights": _pack(self.ngram_weights),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TextPrior:
        """The prior that `to_json` wrote.

        Raises:
            CalibrationFormatError: it is something else, or damaged.
        """
        try:
            return cls._from_json(values)
        except (KeyError, TypeError, ValueError) as exc:
            raise CalibrationFormatError(f"the prior of texts cannot be read: {exc}") from exc

    @classmethod
    def _from_json(cls, values: Mapping[str, Any]) -> TextPrior:
        kind = values["kind"]
        if values["format"] != FORMAT or kind not in ("query", "answer"):
            raise ValueError(f"format {values['format']!r}, kind {kind!r}")
        num_shape = len(text_row(kind, "", "").shape)
        scaling = Scaling(
            _unpack(values["mean"], num_shape),
            _unpack(values["spread"], num_shape),
            _unpack(values["idf"], NUM_BUCKETS),
        )
        if not bool(np.all(scaling.spread > 0.0)):
            raise ValueError("a spread that is not positive")
        return cls(
            kind,
            scaling,
            _unpack(values["shape_weights"], num_shape),
            _unpack(values["ngram_weights"], NUM_BUCKETS),
            float(values["bias"]),
            float(values["penalty"]),
            int(values["num_labels"]),
        )


class PriorColumn(NamedTuple):
    """A prior, and what it says of the rows it was learned from."""

    prior: TextPrior
    column: Floats
    """(n,) how little asking would help, each by a rule that was learned without that row."""


def benefit_of(local_correct: ArrayLike, cloud_correct: ArrayLike | None) -> Floats:
    """(n,) in [0, 1]: 1 where the cloud is right and we are wrong, 0 where it is the other way.

    1/2 where both are alike: (1 + cloud - local) / 2. A cloud that was not asked (NaN, None) counts
    as right. What is lost by asking counts as what is won: on recorded outcomes that ranks better
    than the gain alone.
    """
    local = np.asarray(local_correct, np.float64)
    cloud = np.ones(len(local)) if cloud_correct is None else np.asarray(cloud_correct, np.float64)
    return np.asarray((1.0 + np.where(np.isnan(cloud), 1.0, cloud) - local) / 2.0, np.float64)


def fit_prior(
    kind: TextKind,
    prompts: Sequence[str],
    benefit: ArrayLike,
    answers: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> TextPrior:
    """Learn from outcomes: `benefit` (n,) in [0, 1], see `benefit_of`.

    Raises:
        CalibrationDataError: too few rows, or columns that do not fit together.
    """
    rows, labels = _checked(kind, prompts, benefit, answers)
    return _fit(kind, rows, labels, np.random.default_rng(seed))


def fit_prior_column(
    kind: TextKind,
    prompts: Sequence[str],
    benefit: ArrayLike,
    answers: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> PriorColumn:
    """The prior and its honest opinions of the same rows: the feature a calibration is fitted on.

    Raises:
        CalibrationDataError: as `fit_prior`.
    """
    rows, labels = _checked(kind, prompts, benefit, answers)
    rng = np.random.default_rng(seed)
    prior = _fit(kind, rows, labels, rng)
    order = rng.permutation(len(rows))
    column = np.empty(len(rows))
    for fold in range(FOLDS):
        left_out = order[fold::FOLDS]
        kept = np.setdiff1d(order, left_out)
        part = _fit(kind, [rows[i] for i in kept], labels[kept], rng, prior.penalty)
        column[left_out] = part.predict_rows([rows[i] for i in left_out])
    return PriorColumn(prior, column)


def _checked(
    kind: TextKind, prompts: Sequence[str], benefit: ArrayLike, answers: Sequence[str] | None
) -> tuple[list[TextRow], Floats]:
    labels = share_column("benefit", benefit, len(prompts))
    if len(prompts) < MIN_ROWS:
        raise CalibrationDataError(
            f"{len(prompts)} prompts are too few to learn from",
            hint=f"bring {MIN_ROWS} at least",
        )
    texts = [""] * len(prompts) if answers is None else answers
    if len(texts) != len(prompts) or (kind == "answer" and answers is None):
        raise CalibrationDataError("there must be one answer for each prompt")
    pairs = zip(prompts, texts, strict=True)
    return [text_row(kind, prompt, answer) for prompt, answer in pairs], labels


def _fit(
    kind: TextKind,
    rows: Sequence[TextRow],
    labels: Floats,
    rng: np.random.Generator,
    penalty: float | None = None,
) -> TextPrior:
    if len(rows) > MAX_ROWS:
        drawn: Indices = rng.choice(len(rows), MAX_ROWS, replace=False)
        rows, labels = [rows[i] for i in drawn], labels[drawn]
    scaling = fit_scaling(rows)
    shapes, ngrams = scaling.shapes(rows), scaling.ngrams(rows)
    kernel = shapes @ shapes.T + NGRAM_SHARE * (ngrams @ ngrams.T)
    if penalty is None:
        penalty = choose_penalty(kernel, labels, PENALTIES, rng)
    dual = fit_dual(kernel, labels, penalty)
    return TextPrior(
        kind,
        scaling,
        shapes.T @ dual.weight,
        NGRAM_SHARE * (ngrams.T @ dual.weight),
        dual.bias,
        penalty,
        len(rows),
    )


def _pack(array: Floats) -> str:
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode("ascii")


def _unpack(text: Any, length: int) -> Floats:
    array = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)
    if len(array) != length or not bool(np.all(np.isfinite(array))):
        raise ValueError(f"{len(array)} numbers instead of {length}, or not finite")
    return array
