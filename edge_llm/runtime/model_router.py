"""Asking the local model, before it answers, whether a larger one is needed: two labels, one pass.

Nothing is generated: the prompt ends where a label would begin, and the probabilities of both are
read from the logits of that one place. What comes before the question never changes and stays in
the prefix cache.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.runtime.local import LocalModel
from edge_llm.types import MAX_TOP_LOGPROBS, SamplingParams

SIMPLE, HARD = b"A", b"B"

_INSTRUCTIONS = """\
You sort requests for a small assistant in a home. Answer with one letter.
A: a short, common request, such as a command to a device, small talk or a well-known fact
B: anything that needs long reasoning, rare knowledge, code, mathematics or a long text"""


async def estimate_hardness(model: LocalModel, text: str) -> float | None:
    """P(hard) against P(simple) as the model sees it, in [0, 1]; None where it says neither.

    Raises:
        EdgeLLMError: the model cannot be asked.
    """
    messages = [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": text}]
    prompt = await asyncio.to_thread(model.encode, messages, None)
    request = EngineRequest(
        token_ids=tuple(prompt.token_ids),
        params=SamplingParams(temperature=0.0, max_tokens=1),
        statistics=MAX_TOP_LOGPROBS,
        spells=True,
    )
    run = await model.start(request)
    try:
        return hardness_of(await run.next())
    finally:
        run.abort()


def hardness_of(event: SequenceEvent) -> float | None:
    """What the first token's statistics say of the two labels."""
    if not event.statistics or event.statistics[0] is None:
        return None
    first = event.statistics[0]
    found: dict[bytes, float] = {}
    for token_id, logprob in zip(first.top_ids, first.top_logprobs, strict=True):
        label = event.spellings[token_id].strip()
        found[label] = found.get(label, 0.0) + math.exp(logprob)
    return _share(found)


def _share(found: Mapping[bytes, float]) -> float | None:
    simple, hard = found.get(SIMPLE, 0.0), found.get(HARD, 0.0)
    return None if simple + hard == 0.0 else hard / (simple + hard)
