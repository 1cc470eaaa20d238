"""Every signal by its name, in the order of the feature vector."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge_llm.confidence.base import ConfidenceSignal
from edge_llm.confidence.signals.alternatives_entropy import ALTERNATIVES_ENTROPY
from edge_llm.confidence.signals.entropy_change import MAX_ENTROPY_CHANGE, MEAN_ENTROPY_CHANGE
from edge_llm.confidence.signals.first_entropy import FIRST_ENTROPY
from edge_llm.confidence.signals.length import IS_TRUNCATED, NUM_TOKENS
from edge_llm.confidence.signals.low_logprob import LOW_LOGPROB, MIN_LOGPROB, Q25_LOGPROB
from edge_llm.confidence.signals.mean_margin import MEAN_MARGIN
from edge_llm.confidence.signals.query import ANSWER_PRIOR, PROMPT_TOKENS, QUERY_PRIOR
from edge_llm.confidence.signals.removed_mass import MAX_REMOVED_MASS, MEAN_REMOVED_MASS
from edge_llm.confidence.signals.second_look import (
    MODEL_AGREEMENT,
    P_TRUE,
    SAMPLE_AGREEMENT,
    VERBALISED,
)
from edge_llm.confidence.signals.self_certainty import SELF_CERTAINTY
from edge_llm.confidence.signals.unsure_token import UNSURE_TOKEN
from edge_llm.confidence.signals.validity import HAS_CALLS, IS_EMPTY, IS_LOOPING, IS_VALID
from edge_llm.confidence.signals.worst_window import WORST_WINDOW

_ALL = (
    UNSURE_TOKEN,
    FIRST_ENTROPY,
    MIN_LOGPROB,
    LOW_LOGPROB,
    Q25_LOGPROB,
    MEAN_MARGIN,
    WORST_WINDOW,
    MAX_ENTROPY_CHANGE,
    MEAN_ENTROPY_CHANGE,
    ALTERNATIVES_ENTROPY,
    SELF_CERTAINTY,
    MAX_REMOVED_MASS,
    MEAN_REMOVED_MASS,
    NUM_TOKENS,
    IS_TRUNCATED,
    IS_VALID,
    IS_EMPTY,
    IS_LOOPING,
    HAS_CALLS,
    PROMPT_TOKENS,
    QUERY_PRIOR,
    ANSWER_PRIOR,
    VERBALISED,
    P_TRUE,
    SAMPLE_AGREEMENT,
    MODEL_AGREEMENT,
)

SIGNALS: Mapping[str, ConfidenceSignal] = MappingProxyType({one.name: one for one in _ALL})
"""New ones go to the end: saved calibrations name what they read, and keep working."""
