"""What checks of the whole answer say: form, tools, the caller's own."""

from __future__ import annotations

from edge_llm.confidence.base import ConfidenceSignal, DraftSignal, DraftState, from_bool


def _yes_is_good(value: float) -> float:
    return value


def _yes_is_bad(value: float) -> float:
    return 1.0 - value


def _calls(draft: DraftState) -> float | None:
    return None if draft.num_calls is None else float(draft.num_calls > 0)


IS_VALID = ConfidenceSignal(
    "is_valid", lambda: DraftSignal(lambda draft: from_bool(draft.is_valid)), _yes_is_good, 0.5
)
IS_EMPTY = ConfidenceSignal(
    "is_empty", lambda: DraftSignal(lambda draft: from_bool(draft.is_empty)), _yes_is_bad, 0.5
)
IS_LOOPING = ConfidenceSignal(
    "is_looping", lambda: DraftSignal(lambda draft: from_bool(draft.is_looping)), _yes_is_bad, 0.5
)
HAS_CALLS = ConfidenceSignal("has_calls", lambda: DraftSignal(_calls), _yes_is_good)
"""1 for yes, 0 for no: the answer validates, says nothing, goes in circles, calls tools.

Known at its end, but for circles. Cost: the check's own. Whether a call speaks for an answer
depends on the task: only a calibration can tell, and its score is but the flag.
Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv:1904.09751, for
circles; the others are the checks themselves.
"""
