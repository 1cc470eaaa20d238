"""What the cloud is told when it works on a local draft: in messages of their own, under our role.

Nothing here touches what the user said; the draft is an assistant message, our request a system
message after it.
"""

from __future__ import annotations

from edge_llm.runtime.outgoing import Extra

_JUDGE = """\
The last assistant message is a draft by a smaller model. Is it a correct and complete answer to \
the conversation before it? Reply with one word: YES or NO."""

_REFINE = """\
The last assistant message is a draft by a smaller model, and may be wrong. Write the final answer \
to the conversation before it, keeping what is right. Do not mention the draft."""

JUDGE_TOKENS = 16
"""Enough for one word with some punctuation."""


def judging(draft: str) -> Extra:
    """Ask for a verdict on a draft."""
    return _after(draft, _JUDGE, max_tokens=JUDGE_TOKENS, is_plain=True)


def refinement(draft: str) -> Extra:
    """Ask for a better answer than the draft."""
    return _after(draft, _REFINE)


def continuation(prefix: str) -> Extra:
    """Ask for the rest of an answer that the caller has begun to see."""
    return Extra(({"role": "assistant", "content": prefix},), continue_prefix=True)


def is_approved(verdict: str) -> bool:
    """Whether the verdict is a clear yes."""
    return verdict.strip().strip("*\"'").upper().startswith("YES")


def _after(
    draft: str, instruction: str, *, max_tokens: int | None = None, is_plain: bool = False
) -> Extra:
    messages = (
        {"role": "assistant", "content": draft},
        {"role": "system", "content": instruction},
    )
    return Extra(messages, max_tokens=max_tokens, is_plain=is_plain)
