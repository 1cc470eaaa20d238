"""Whether requests are still like those that a calibration was fitted and certified on.

An alarm that may be looked at after every request for as long as one likes: that the scores are
distributed otherwise. It does not know why. Not thread-safe.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import share_column
from edge_llm.errors import CalibrationDataError

NUM_BINS = 20
FALSE_ALARM = 0.01
_STAKES = (-0.8, -0.25, 0.25, 0.8)
_MOVED = 0.01
_MOST = 1e300


@dataclass(frozen=True, slots=True)
class DriftReference:
    """How scores were distributed: counts in bins."""

    edges: tuple[float, ...]
    """Inner ones, ascending; one fewer than bins."""
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = len(self.counts) == len(self.edges) + 1 and min(self.counts) >= 0
        if not fits or list(self.edges) != sorted(set(self.edges)):
            raise CalibrationDataError("a reference of scores whose bins do not fit together")


def drift_reference(
    fitted: ArrayLike, held_out: ArrayLike, num_bins: int = NUM_BINS
) -> DriftReference:
    """Bins of equal mass of `fitted` scores, counted on `held_out` ones; both trust in [0, 1].

    Two different parts, so that edges are fixed when scores are counted: then the false alarm rate
    of `DriftMonitor` is exact.

    Raises:
        CalibrationDataError: no scores.
    """
    edges_from, counted = share_column("fitted", fitted), share_column("held_out", held_out)
    if not len(edges_from) or not len(counted):
        raise CalibrationDataError("no scores to compare with")
    inner = np.linspace(0.0, 1.0, num_bins + 1)[1:-1]
    edges = np.unique(np.quantile(edges_from, inner))
    place = np.searchsorted(edges, counted, side="right")
    counts = np.bincount(place, minlength=len(edges) + 1)
    return DriftReference(tuple(edges.tolist()), tuple(counts.tolist()))


class DriftMonitor:
    """Bets that the next score is not like all before; rich only where scores have moved.

    The rank of a score among all that came before, reference included, is uniform while nothing
    changes. Each state bets on one departure from that (towards the ends, the middle, one side);
    states lend to each other, so that a change is followed late as well as early, and a reserve is
    spent slowly, so that a long quiet time ruins none. Capital starts at 1 and is fair: it reaches
    1 / `false_alarm` with probability `false_alarm` at most, ever (Ville's inequality), while the
    scores are exchangeable with the reference. Feed it the scores of one checkpoint that every
    request reaches: what is escalated early never reaches the later ones.
    Source: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", chapter 8; Vovk et
    al., "Retrain or not retrain", 2021 (the jumper).
    """

    def __init__(
        self, reference: DriftReference, *, false_alarm: float = FALSE_ALARM, seed: int = 0
    ) -> None:
        self._edges = reference.edges
        self._counts = list(reference.counts)
        self._false_alarm = false_alarm
        self._random = random.Random(seed)
        self._capital = [0.0] * (2 * len(_STAKES))
        self._num_scores = 0
        self._peak = 1.0

    @property
    def e_value(self) -> float:
        """The capital now: evidence against "nothing has changed", 1 is none."""
        return 1.0 / (self._num_scores + 1) + sum(self._capital)

    @property
    def is_alarm(self) -> bool:
        """Whether the capital has reached 1 / `false_alarm` at any time."""
        return self._peak >= 1.0 / self._false_alarm

    def update(self, score: float) -> bool:
        """Take the score of one more request, and say whether there is an alarm; O(bins)."""
        rank = self._rank(score)
        side, ends = 2.0 * rank - 1.0, 6.0 * rank * (rank - 1.0) + 1.0
        self._num_scores += 1
        # What the reserve spends now sums to 1 over all time: 1/2 + 1/6 + 1/12 + ...
        fresh = 1.0 / (self._num_scores * (self._num_scores + 1))
        total = sum(self._capital)
        lent = (_MOVED * total + fresh) / len(self._capital)
        for index, stake in enumerate((*_STAKES, *_STAKES)):
            shape = side if index < len(_STAKES) else ends
            kept = (1.0 - _MOVED) * self._capital[index] + lent
            self._capital[index] = min(_MOST, kept * (1.0 + stake * shape))
        self._peak = max(self._peak, self.e_value)
        return self.is_alarm

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` goes on."""
        return {
            "counts": list(self._counts),
            "capital": list(self._capital),
            "num_scores": self._num_scores,
            "peak": self._peak,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`.

        Raises:
            CalibrationDataError: it is of another reference, or none.
        """
        try:
            counts, capital = [int(one) for one in state["counts"]], _amounts(state["capital"])
            if len(counts) != len(self._counts) or len(capital) != len(self._capital):
                raise ValueError("other bins")
            num_scores, (peak,) = int(state["num_scores"]), _amounts([state["peak"]])
            if min(counts) < 0 or num_scores < 0:
                raise ValueError("negative counts")
        except (KeyError, TypeError, ValueError) as exc:
            raise CalibrationDataError(f"no state of this monitor: {exc}") from exc
        self._counts, self._capital = counts, capital
        self._num_scores, self._peak = num_scores, peak

    def _rank(self, score: float) -> float:
        """Uniform in [0, 1] while nothing changes: ties are broken by chance."""
        place = bisect_right(self._edges, score)
        below = list(accumulate(self._counts, initial=0))
        rank = below[place] + self._random.random() * (self._counts[place] + 1)
        self._counts[place] += 1
        return rank / (below[-1] + 1)


def reference_record(reference: DriftReference) -> dict[str, Any]:
    """JSON values, for `Calibration.with_part`."""
    return {name: list(values) for name, values in asdict(reference).items()}


def read_reference(record: Any) -> DriftReference:
    """The reference in JSON values.

    Raises:
        CalibrationDataError: there is none.
    """
    try:
        counts = tuple(int(one) for one in record["counts"])
        return DriftReference(tuple(_amounts(record["edges"])), counts)
    except (KeyError, TypeError, ValueError) as exc:
        raise CalibrationDataError(f"no reference of scores: {exc}") from exc


def _amounts(values: Sequence[Any]) -> list[float]:
    amounts = [float(one) for one in values]
    if not all(0.0 <= one <= _MOST * 100 for one in amounts):
        raise ValueError("numbers that are negative or not finite")
    return amounts
