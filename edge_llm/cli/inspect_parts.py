"""Parts of what `edge-llm inspect` says that are the same for every kind of file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias

from edge_llm.backends.base import Placement, ThreadPlan
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder, unprotected_turns
from edge_llm.prompt.tokenizer import Tokenizer

Record: TypeAlias = dict[str, Any]
"""What JSON can hold; names that end in `_bytes` are shown with a unit."""


def describe_threads(plan: ThreadPlan | None) -> Record:
    """A plan, or that there is none yet."""
    if plan is None:
        return {"origin": "unmeasured", "reason": "the first load measures them"}
    return asdict(plan)


def describe_placement(placement: Placement) -> Record:
    """What runs where."""
    return {
        "device": placement.device,
        "provider": placement.provider,
        "nodes": dict(placement.nodes),
        "elsewhere": placement.num_elsewhere,
        "note": placement.note,
    }


def describe_memory(estimate: MemoryEstimate, context_size: int, free_bytes: int) -> Record:
    """An estimate for a context, and whether it fits."""
    return {
        "context_size": context_size,
        **{f"{name}_bytes": value for name, value in asdict(estimate).items()},
        "total_bytes": estimate.total,
        "free_bytes": free_bytes,
        "fits": estimate.total <= free_bytes,
    }


def describe_prompts(tokenizer: Tokenizer, source: str | None) -> Record:
    """Special tokens, and what the chat template can do."""
    spelled = {token.id: token.text for token in tokenizer.special_tokens}

    def spell(token_id: int | None) -> str | None:
        if token_id is None:
            return None
        return spelled.get(token_id) or tokenizer.token_bytes(token_id).decode("utf-8", "replace")

    return {
        "tokens": {
            "vocab_size": tokenizer.vocab_size,
            "bos": spell(tokenizer.bos_id),
            "eos": spell(tokenizer.eos_id),
            "adds_bos": tokenizer.add_bos,
            "ends": sorted(filter(None, map(spell, tokenizer.eog_ids))),
            "special": len(tokenizer.special_tokens),
        },
        "template": _describe_template(tokenizer, source),
    }


def _describe_template(tokenizer: Tokenizer, source: str | None) -> Record:
    if source is None:
        return {"source": None, "problem": "the model brings none; ChatML is used"}
    try:
        template = ChatTemplate.for_tokenizer(source, tokenizer)
        warning = unprotected_turns(PromptEncoder(tokenizer, template))
    except EdgeLLMError as exc:
        return {"source": "model", "problem": str(exc)}
    return {
        "source": "model",
        "turns_protected": warning is None,
        "problem": warning,
        "tools": template.supports_tools,
        "system": template.supports_system,
        "thinking": template.supports_thinking,
    }
