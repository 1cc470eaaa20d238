"""What a run will cost before it begins. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_llm.cloud.pricing import cost_usd, estimate_prompt_tokens, worst_case_usd
from edge_llm.cloud.types import CloudRequest, CloudUsage, Endpoint
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.recording import Said

USUAL_TOKENS = 250
"""Of an answer, where nothing is known of this model's answers yet."""
NUM_TELLING = 20
"""After so many answers their own length says more."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is left to be asked, and what it will cost."""

    num_questions: int
    num_local: int
    """Local answers that are not in the journal yet."""
    num_cloud: int
    num_judged: int = 0
    """Grades that a model is to give; an upper bound."""
    expected_usd: float | None = 0.0
    """None: no price is known, and it is not free."""
    most_usd: float | None = 0.0
    """With every answer as long as it may be."""

    @property
    def is_free(self) -> bool:
        """Whether nothing has to be paid."""
        return self.most_usd == 0.0


def estimate_usd(
    endpoints: Sequence[Endpoint],
    examples: Iterable[Example],
    max_tokens: int,
    known: Sequence[Said] = (),
) -> tuple[float | None, float | None]:
    """Expected and largest US dollars to ask the dearest of these endpoints all questions.

    An endpoint that is not in the cloud costs nothing unless it has a price. None without one.
    """
    paid = [one for one in endpoints if one.trust == "cloud" or one.prices is not None]
    if not paid:
        return 0.0, 0.0
    examples = list(examples)
    if any(one.prices is None for one in paid) and examples:
        return None, None
    length = usual_tokens(known)
    expected = most = 0.0
    for example in examples:
        limit = int(example.options.get("max_tokens", max_tokens))
        prompt = prompt_tokens(example)
        usage = CloudUsage(prompt, min(limit, length))
        expected += max(cost_usd(one.prices, usage) or 0.0 for one in paid)
        most += max(worst_case_usd(one.prices, prompt, limit) or 0.0 for one in paid)
    return expected, most


def usual_tokens(known: Sequence[Said]) -> int:
    """Length of an answer in tokens: that of those that are known, where they are enough."""
    lengths = [said.completion_tokens for said in known if said.error is None]
    if len(lengths) < NUM_TELLING:
        return USUAL_TOKENS
    return max(1, round(sum(lengths) / len(lengths)))


def prompt_tokens(example: Example) -> int:
    """Tokens of a question, rather too many than too few."""
    return estimate_prompt_tokens(
        CloudRequest(example.messages, "allow", tools=example.options.get("tools"))
    )
