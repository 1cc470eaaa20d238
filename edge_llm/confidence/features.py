"""An attempt as a vector of numbers: what calibrations are fitted on and read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_llm.confidence.answer_start import AnswerStart
from edge_llm.confidence.base import DraftSignal, DraftState
from edge_llm.confidence.signals.registry import SIGNALS
from edge_llm.confidence.signals.unsure_token import UNSURE_TOKEN
from edge_llm.types import TokenStatistics

if TYPE_CHECKING:  # numpy is for calibrations; who has none does not wait for it
    import numpy as np
    from numpy.typing import NDArray

FEATURE_NAMES: tuple[str, ...] = tuple(SIGNALS)
"""The order of every feature vector: the measure of each signal, in its own unit."""

NUM_TOP = 20
"""How many most likely tokens the statistics must name; fewer make other numbers."""


class FeatureTracker:
    """Follows one draft; `features` may be asked at any time."""

    def __init__(self) -> None:
        self._start = AnswerStart()
        self._has_begun = False
        self._states = {name: signal.start() for name, signal in SIGNALS.items()}
        self._listeners = [
            state.add for state in self._states.values() if not isinstance(state, DraftSignal)
        ]

    def add(self, statistics: Sequence[TokenStatistics | None], text: str = "") -> None:
        """The answer's next tokens and the text that came with them; forced tokens are None."""
        starts = self._start.add(text)
        if statistics and not self._has_begun:
            self._has_begun = True
            if statistics[0] is None:
                # Doubt is told by the first token, and the model was not asked for that one.
                self._listeners.remove(self._states[UNSURE_TOKEN.name].add)
        for token in statistics:
            if token is None:
                continue
            for add in self._listeners:
                add(token, starts)
            starts = False

    def value(self, name: str, draft: DraftState | None = None) -> float | None:
        """One signal's measure in its own unit; None while it cannot tell."""
        return self._states[name].value(draft or DraftState())

    def score(self, name: str, draft: DraftState | None = None) -> float | None:
        """One signal's uncalibrated score in [0, 1], 1 is trust; None while it cannot tell."""
        value = self.value(name, draft)
        return None if value is None else SIGNALS[name].to_score(value)

    def features(self, draft: DraftState | None = None) -> NDArray[np.float64]:
        """All measures, (len(FEATURE_NAMES),) float64; NaN where one cannot tell."""
        import numpy as np

        known = draft or DraftState()
        values = [state.value(known) for state in self._states.values()]
        return np.array([math.nan if one is None else one for one in values], np.float64)
