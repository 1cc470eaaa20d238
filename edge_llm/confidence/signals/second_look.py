"""What a second look at a doubtful answer said; none is taken at the others."""

from __future__ import annotations

from edge_llm.confidence.base import ConfidenceSignal, DraftSignal


def _same(value: float) -> float:
    return min(1.0, max(0.0, value))


P_TRUE = ConfidenceSignal("p_true", lambda: DraftSignal(lambda draft: draft.p_true), _same, 0.5)
"""P(A) / (P(A) + P(B)), the model asked whether its answer is (A) true or (B) false.

Cost: one prefill of prompt and answer, most of it in the prefix cache, and one token.
Source: Kadavath et al., "Language Models (Mostly) Know What They Know", arXiv:2207.05221.
"""

SAMPLE_AGREEMENT = ConfidenceSignal(
    "sample_agreement", lambda: DraftSignal(lambda draft: draft.sample_agreement), _same, 0.5
)
"""Share of k further samples that say what the answer says. Cost: k answers that share one prompt.

Source: Wang et al., "Self-Consistency", arXiv:2203.11171.
"""

MODEL_AGREEMENT = ConfidenceSignal(
    "model_agreement", lambda: DraftSignal(lambda draft: draft.model_agreement), _same, 0.5
)
"""Whether another local model says what the answer says. Cost: its whole answer.

Source: Yue et al., "Large Language Model Cascades with Mixture of Thoughts Representations",
arXiv:2310.03094, for agreement of different writers.
"""

VERBALISED = ConfidenceSignal(
    "verbalised", lambda: DraftSignal(lambda draft: draft.verbalised), _same
)
"""How sure the model says it is, in [0, 1]. Never alone a gate: small models say 80 to 100 %.

Cost: one search in the end of the answer, and the tokens that the model spends on saying it.
Source: Xiong et al., "Can LLMs Express Their Uncertainty?", ICLR 2024.
"""
