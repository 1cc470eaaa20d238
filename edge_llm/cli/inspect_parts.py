"""Parts of what `edge-llm inspect` says that are the same for every kind of file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TypeAlias

from edge_llm.backends.base import Placement, ThreadPlan
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.prompt.audit import unprotected_turns, warnings_of
from edge_llm.prompt.calls.evidence import format_of
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.tokenizer import TokenKind, Vocabulary

Record: TypeAlias = dict[str, Any]
"""What JSON can hold; names that end in `_bytes` are shown with a unit."""

_LISTED = 8
_CONTROL_LISTED = 24
_RESERVED = re.compile(r"reserved|unused|extra_|placeholder|dummy", re.IGNORECASE)
"""Control tokens that stand for nothing yet; vocabularies have hundreds."""
_IMAGE_TOKEN = re.compile(
    r"<\|?/?(?:image|img|vision|image_pad|vision_start|vision_end|start_of_image|end_of_image|"
    r"fake_token_around_image)(?:_soft_token)?\|?>|\[IMG\w*\]|<image_soft_token>"
)
_IMAGE_IN_TEMPLATE = re.compile(r"""['"](?:image|image_url|input_image)['"]|<image>|\[IMG\]""")


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


def describe_prompts(vocabulary: Vocabulary, source: str | None) -> tuple[Record, list[str]]:
    """Special tokens, what the chat template can do, and what is wrong with them."""
    template, concerns = _describe_template(vocabulary, source)
    return {"tokens": _describe_tokens(vocabulary), "template": template}, concerns


def describe_vision(
    vocabulary: Vocabulary | None, source: str | None, parts: Iterable[str]
) -> Record:
    """What speaks for a model that takes images; `parts` are files with its vision part."""
    special = vocabulary.special_tokens if vocabulary is not None else ()
    tokens = [token.text for token in special if _IMAGE_TOKEN.fullmatch(token.text)]
    in_template = source is not None and _IMAGE_IN_TEMPLATE.search(source) is not None
    files = sorted(parts)
    return {
        "supported": bool(files) and (in_template or bool(tokens)),
        "in_template": in_template,
        "tokens": tokens[:_LISTED],
        "files": files,
    }


def _describe_tokens(vocabulary: Vocabulary) -> Record:
    spelled = {token.id: token.text for token in vocabulary.special_tokens}

    def spell(token_id: int | None) -> str | None:
        if token_id is None:
            return None
        return spelled.get(token_id) or vocabulary.token_bytes(token_id).decode("utf-8", "replace")

    def texts_of(kind: TokenKind) -> list[str]:
        return [token.text for token in vocabulary.special_tokens if token.kind is kind]

    control = texts_of(TokenKind.CONTROL)
    return {
        "vocab_size": vocabulary.vocab_size,
        "bos": spell(vocabulary.bos_id),
        "eos": spell(vocabulary.eos_id),
        "adds_bos": vocabulary.add_bos,
        "ends": sorted(filter(None, map(spell, vocabulary.eog_ids))),
        "special": len(vocabulary.special_tokens),
        "control": [text for text in control if not _RESERVED.search(text)][:_CONTROL_LISTED],
        "control_count": len(control),
        "user_defined_count": len(texts_of(TokenKind.USER_DEFINED)),
    }


def _describe_template(vocabulary: Vocabulary, source: str | None) -> tuple[Record, list[str]]:
    if source is None:
        problem = "the model brings none; ChatML is used"
        ends = () if vocabulary.eos_id is not None else ("the file names no EOS token",)
        return {"source": None, "problem": problem}, [problem, *ends]
    try:
        template = ChatTemplate.for_tokenizer(source, vocabulary)
        warning = unprotected_turns(template, vocabulary.special_tokens)
    except EdgeLLMError as exc:
        return {"source": "model", "problem": str(exc)}, [str(exc)]
    record = {
        "source": "model",
        "turns_protected": warning is None,
        "problem": warning,
        "tools": template.supports_tools,
        # One that is read off the template has a long name of its own.
        "calls": format_of(template).name.partition(":")[0],
        "system": template.supports_system,
        "thinking": template.supports_thinking,
        "text": source,
    }
    return record, list(warnings_of(template, vocabulary))
