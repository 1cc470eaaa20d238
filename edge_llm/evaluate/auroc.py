"""How well a score tells right answers from wrong ones."""

from __future__ import annotations

from collections.abc import Sequence


def auroc(scores: Sequence[float], is_right: Sequence[bool]) -> float | None:
    """Probability that a right answer scores higher than a wrong one, in [0, 1]; ties count half.

    0.5 tells nothing, 1 tells all. None where all answers are right, or all are wrong.

    Source: Hanley and McNeil 1982, the Mann-Whitney statistic over its largest value.
    """
    right = [score for score, good in zip(scores, is_right, strict=True) if good]
    wrong = [score for score, good in zip(scores, is_right, strict=True) if not good]
    if not right or not wrong:
        return None
    ranks = _ranks([*right, *wrong])
    above = sum(ranks[: len(right)]) - len(right) * (len(right) + 1) / 2
    return above / (len(right) * len(wrong))


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the middle of theirs."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks
