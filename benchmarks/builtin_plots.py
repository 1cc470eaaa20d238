"""The diagrams of the built-in model's card; need the `bench` extra, and say so without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.plots import open_pyplot, save_plot
from scripts.builtin.evaluate import Reply

Judged = Sequence[tuple[Reply, bool]]
"""Answers, and whether each serves."""
NUM_BINS = 10


def draw_reliability(judged: Judged, path: Path) -> None:
    """The share of answers that serve against 1 - P(unsure), in bins of equal size."""
    pyplot = open_pyplot()
    if pyplot is None:
        return
    ordered = sorted((1 - reply.unsure, serves) for reply, serves in judged)
    size = max(1, len(ordered) // NUM_BINS)
    bins = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    stated = [sum(score for score, _ in some) / len(some) for some in bins]
    found = [sum(serves for _, serves in some) / len(some) for some in bins]
    figure, axes = pyplot.subplots(figsize=(5, 4))
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfectly calibrated")
    axes.plot(stated, found, marker="o", label="built-in model")
    axes.set_xlabel("1 - P(unsure) at the first token")
    axes.set_ylabel("share of answers that serve")
    axes.set_title("Commands and out-of-scope sentences, 1 : 1")
    save_plot(figure, axes, path)


def draw_coverage(judged: Judged, path: Path) -> None:
    """The share of kept answers that serve, when the least trusted are handed on first."""
    pyplot = open_pyplot()
    if pyplot is None:
        return
    figure, axes = pyplot.subplots(figsize=(5, 4))
    scores: dict[str, Callable[[Reply], float]] = {
        "P(unsure) at the first token": lambda reply: 1 - reply.unsure,
        "least likely token": lambda reply: reply.min_logprob,
        "both": lambda reply: (1 - reply.unsure) * 2.718**reply.min_logprob,
    }
    for label, score in scores.items():
        axes.plot(*_coverage_curve(judged, score), label=label)
    possible = sum(serves for _, serves in judged) / max(1, len(judged))
    axes.axvline(possible, ls=":", color="grey", label="share that serves at all")
    axes.set_xlabel("share of requests kept local")
    axes.set_ylabel("share of kept answers that serve")
    axes.set_title("Commands and out-of-scope sentences, 1 : 1")
    save_plot(figure, axes, path)


def _coverage_curve(
    judged: Judged, score: Callable[[Reply], float]
) -> tuple[list[float], list[float]]:
    ordered = sorted(judged, key=lambda pair: score(pair[0]), reverse=True)
    served, coverage, accuracy = 0, [], []
    for kept, (_, serves) in enumerate(ordered, 1):
        served += serves
        coverage.append(kept / len(ordered))
        accuracy.append(served / kept)
    return coverage, accuracy
