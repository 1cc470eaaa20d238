"""The shape of a text in numbers: how long, how many figures, how it ends, whether it adds up."""

from __future__ import annotations

import math
import re
import zlib

from edge_llm.confidence.text.sums import check_sums

MAX_CHARS = 16384

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?。！？](?:\s|$)")  # noqa: RUF001 — full-width stops end sentences

QUERY_SHAPE = (
    "chars", "words", "sentences", "words_per_sentence", "numbers", "distinct_numbers",
    "largest_number", "fractions", "percents", "dollars", "questions", "commas", "slashes",
    "distinct_words", "word_length", "capitals", "quotes", "newlines",
)  # fmt: skip
"""Names of what `query_shape` gives."""

ANSWER_SHAPE = (
    "chars", "words", "lines", "numbers", "distinct_numbers", "ends_in_word", "ends_in_stop",
    "last_line_has_number", "last_line_chars", "right_sums", "wrong_sums", "has_wrong_sum",
    "share_right_sums", "prompt_numbers_used", "numbers_from_prompt", "last_from_prompt",
    "last_number", "last_is_fraction", "last_said_before", "compressed", "words_from_prompt",
    "prompt_words_used", "distinct_words", "equals", "questions", "fractions", "largest_number",
    "no_numbers", "is_empty",
)  # fmt: skip
"""Names of what `answer_shape` gives."""


def query_shape(text: str) -> list[float]:
    """One number for each of `QUERY_SHAPE`; counts as log(1 + n) where they have no bound."""
    text = text[:MAX_CHARS]
    numbers, words = _numbers(text), _WORD.findall(text)
    num_words = max(1, len(words))
    sentences = max(1, len(_SENTENCE_END.findall(text)))
    return [
        math.log1p(len(text)),
        math.log1p(len(words)),
        math.log1p(sentences),
        len(words) / sentences,
        math.log1p(len(numbers)),
        math.log1p(len(set(numbers))),
        math.log1p(max(numbers, default=0.0)),
        float(sum(not one.is_integer() for one in numbers)),
        *(float(text.count(mark)) for mark in "%$?,/"),
        len({word.lower() for word in words}) / num_words,
        sum(map(len, words)) / num_words,
        sum(word[0].isupper() for word in words) / num_words,
        float(text.count('"')),
        float(text.count("\n")),
    ]


def answer_shape(prompt: str, answer: str) -> list[float]:
    """One number for each of `ANSWER_SHAPE`."""
    prompt, answer = prompt[:MAX_CHARS], answer[:MAX_CHARS]
    numbers, asked = _numbers(answer), set(_numbers(prompt))
    lines = [line for line in answer.split("\n") if line.strip()]
    return [
        math.log1p(len(answer)),
        math.log1p(len(_WORD.findall(answer))),
        math.log1p(len(lines)),
        math.log1p(len(numbers)),
        math.log1p(len(set(numbers))),
        *_ending(answer.rstrip(), lines),
        *_sums(answer),
        *_numbers_in_common(numbers, asked),
        *_last_number(numbers),
        len(zlib.compress(answer.encode("utf-8", "replace")))
        / max(1, len(answer.encode("utf-8", "replace"))),
        *_words_in_common(prompt, answer),
        float(answer.count("=")),
        float(answer.count("?")),
        float(sum(not one.is_integer() for one in numbers)),
        math.log1p(max(numbers, default=0.0)),
        float(not numbers),
        float(not answer.strip()),
    ]


def _numbers(text: str) -> list[float]:
    # Beyond 15 digits a number is a name.
    return [float(one.replace(",", "")) for one in _NUMBER.findall(text) if len(one) < 16]


def _ending(text: str, lines: list[str]) -> list[float]:
    last = lines[-1] if lines else ""
    return [
        float(text[-1:].isalnum()),
        float(text[-1:] in (".", "!", "?")),
        float(_NUMBER.search(last) is not None),
        float(len(last)),
    ]


def _sums(answer: str) -> list[float]:
    right, wrong = check_sums(answer)
    share = right / (right + wrong) if right + wrong else 1.0
    return [float(right), float(wrong), float(wrong > 0), share]


def _numbers_in_common(numbers: list[float], asked: set[float]) -> list[float]:
    return [
        len(asked & set(numbers)) / max(1, len(asked)),
        sum(one in asked for one in numbers) / max(1, len(numbers)),
        float(bool(numbers) and numbers[-1] in asked),
    ]


def _last_number(numbers: list[float]) -> list[float]:
    if not numbers:
        return [0.0, 0.0, 0.0]
    last = numbers[-1]
    return [math.log1p(last), float(not last.is_integer()), float(numbers.count(last) > 1)]


def _words_in_common(prompt: str, answer: str) -> list[float]:
    words = _WORD.findall(answer.lower())
    said, asked = set(words), set(_WORD.findall(prompt.lower()))
    return [
        len(said & asked) / max(1, len(said)),
        len(said & asked) / max(1, len(asked)),
        len(said) / max(1, len(words)),
    ]
