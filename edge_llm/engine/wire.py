"""Requests, events and errors as JSON lines, between a host process and its engine worker.

JSON and not pickle: a worker that a hostile model file took over must not be able to run code in
its host. Floats keep every bit; NaN and infinities travel as Python's `json` writes them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any, TypeAlias

from edge_llm import errors
from edge_llm.config import SECTIONS, TIER_OPTIONS, EdgeConfig
from edge_llm.constrain.packing import dump_grammar, load_grammar
from edge_llm.engine.host import HostSettings, ModelFacts
from edge_llm.engine.request import Constraint, EngineRequest, SequenceEvent
from edge_llm.errors import BackendError, EdgeLLMError
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.hub.resolve import ModelLocation
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.prompt.thinking import ThinkingBudget
from edge_llm.types import SamplingParams, TokenStatistics

Packet: TypeAlias = dict[str, Any]
"""One message in either direction: plain JSON values only."""

_CONSTRAINTS: Mapping[str, type[ThinkingBudget]] = {"thinking_budget": ThinkingBudget}


class BrokenPacketError(Exception):
    """What came in is not one of our messages: the other side is not what it should be."""


def write_packet(stream: IO[bytes], packet: Packet) -> None:
    """Send one message at once."""
    stream.write(json.dumps(packet, separators=(",", ":")).encode() + b"\n")
    stream.flush()


def read_packet(stream: IO[bytes]) -> Packet | None:
    """The next message; None when the other side has gone, in the middle of one too.

    Raises:
        BrokenPacketError: it is no JSON object.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        packet = json.loads(line)
    except ValueError as exc:
        raise BrokenPacketError(f"not JSON: {line[:80]!r}") from exc
    if not isinstance(packet, dict):
        raise BrokenPacketError(f"not an object: {line[:80]!r}")
    return packet


def pack_settings(settings: HostSettings) -> Packet:
    """What `unpack_settings` turns back; the model's path becomes absolute."""
    return {
        "name": settings.reference.name,
        "path": str(settings.reference.path.absolute()),
        "sampling": dict(settings.reference.sampling),
        "config": _pack_config(settings.config),
        "template": settings.template,
    }


def _pack_config(config: EdgeConfig) -> Packet:
    """All but what the worker has no use for: it neither chooses tiers, nor sends, nor spends."""
    names = [f.name for f in fields(config) if f.name not in (*SECTIONS, *TIER_OPTIONS)]
    return {name: getattr(config, name) for name in names}


def unpack_settings(packet: Packet) -> HostSettings:
    """The settings that `pack_settings` took."""
    reference = ModelLocation(packet["name"], Path(packet["path"]), packet["sampling"])
    return HostSettings(reference, EdgeConfig(**packet["config"]), packet["template"])


def pack_facts(facts: ModelFacts) -> Packet:
    """What `unpack_facts` turns back."""
    values = {f.name: getattr(facts, f.name) for f in fields(facts)}
    return {
        **values,
        "sampling": _pack_params(facts.sampling),
        "memory": None if facts.memory is None else asdict(facts.memory),
        "eog_ids": sorted(facts.eog_ids),
        "visible_tokens": sorted(facts.visible_tokens),
    }


def unpack_facts(packet: Packet) -> ModelFacts:
    """The facts that `pack_facts` took."""
    close, memory = packet["thinking_close"], packet["memory"]
    changed = {
        "sampling": _unpack_params(packet["sampling"]),
        "thinking_close": None if close is None else tuple(close),
        "memory": None if memory is None else MemoryEstimate(**memory),
        "eog_ids": frozenset(packet["eog_ids"]),
        "visible_tokens": frozenset(packet["visible_tokens"]),
    }
    return ModelFacts(**{**packet, **changed})


def pack_request(request: EngineRequest) -> Packet:
    """What `unpack_request` turns back; a deadline travels as the seconds that are left."""
    values = {f.name: getattr(request, f.name) for f in fields(request)}
    deadline_s = values.pop("deadline_s")
    return {
        **values,
        "params": _pack_params(request.params),
        "constraint": _pack_constraint(request.constraint),
        "grammar": None if request.grammar is None else dump_grammar(request.grammar),
        "visible_tokens": sorted(request.visible_tokens),
        "left_s": None if deadline_s is None else deadline_s - time.monotonic(),
    }


def unpack_request(packet: Packet) -> EngineRequest:
    """The request that `pack_request` took."""
    values = dict(packet)
    left_s, grammar = values.pop("left_s"), values.pop("grammar")
    changed = {
        "token_ids": tuple(values["token_ids"]),
        "watched_ids": tuple(values["watched_ids"]),
        "params": _unpack_params(values["params"]),
        "constraint": _unpack_constraint(values["constraint"]),
        "grammar": None if grammar is None else load_grammar(grammar),
        "visible_tokens": frozenset(values["visible_tokens"]),
        "deadline_s": None if left_s is None else time.monotonic() + left_s,
    }
    return EngineRequest(**{**values, **changed})


def pack_event(event: SequenceEvent) -> Packet:
    """What `unpack_event` turns back; what says nothing is left out, as most of it does."""
    packet: Packet = {"token_ids": event.token_ids, "text": event.text}
    if event.finish_reason is not None:
        packet["finish_reason"] = event.finish_reason
    if event.error is not None:
        packet["error"] = pack_error(event.error)
    if event.num_cached_tokens is not None:
        packet["num_cached_tokens"] = event.num_cached_tokens
    if event.fits_grammar is not None:
        packet["fits_grammar"] = event.fits_grammar
    if event.statistics:
        packet["statistics"] = [
            None if one is None else [getattr(one, name) for name in _STATISTICS]
            for one in event.statistics
        ]
    if event.spellings:
        # Latin-1 gives each byte a character, which JSON can hold.
        packet["spellings"] = [(i, raw.decode("latin-1")) for i, raw in event.spellings.items()]
    return packet


def unpack_event(request_id: int, packet: Packet) -> SequenceEvent:
    """The event that `pack_event` took, under the host's own id for the request."""
    error = packet.get("error")
    return SequenceEvent(
        request_id,
        tuple(packet["token_ids"]),
        packet["text"],
        packet.get("finish_reason"),
        None if error is None else unpack_error(error),
        packet.get("num_cached_tokens"),
        tuple(_unpack_statistics(one) for one in packet.get("statistics", ())),
        {i: text.encode("latin-1") for i, text in packet.get("spellings", ())},
        packet.get("fits_grammar"),
    )


def pack_prompt(prompt: EncodedPrompt) -> Packet:
    """What `unpack_prompt` turns back."""
    return {f.name: getattr(prompt, f.name) for f in fields(prompt)}


def unpack_prompt(packet: Packet) -> EncodedPrompt:
    """The prompt that `pack_prompt` took."""
    return EncodedPrompt(**{**packet, "token_ids": tuple(packet["token_ids"])})


def pack_error(error: EdgeLLMError) -> Packet:
    """What `unpack_error` turns back."""
    return {"type": type(error).__name__, "fields": vars(error)}


def unpack_error(packet: Packet) -> EdgeLLMError:
    """The error that `pack_error` took; of a type unknown here, a `BackendError` with its text."""
    values = packet["fields"]
    kind = getattr(errors, packet["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, EdgeLLMError)):
        return BackendError(f"{packet['type']}: {values.get('message')}", hint=values.get("hint"))
    # Constructors differ; what they left behind does not.
    error = kind.__new__(kind, values["message"])
    Exception.__init__(error, values["message"])
    vars(error).update(values)
    return error


_STATISTICS = tuple(f.name for f in fields(TokenStatistics))


def _unpack_statistics(values: list[Any] | None) -> TokenStatistics | None:
    if values is None:
        return None
    named = dict(zip(_STATISTICS, values, strict=True))
    named["top_ids"] = tuple(named["top_ids"])
    named["top_logprobs"] = tuple(named["top_logprobs"])
    named["watched_logprobs"] = tuple(named["watched_logprobs"])
    return TokenStatistics(**named)


def _pack_params(params: SamplingParams) -> Packet:
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    # JSON would turn the keys into text.
    return {**values, "logit_bias": list(params.logit_bias.items())}


def _unpack_params(packet: Packet) -> SamplingParams:
    changed = {"logit_bias": dict(packet["logit_bias"]), "stop": tuple(packet["stop"])}
    return SamplingParams(**{**packet, **changed})


def _pack_constraint(constraint: Constraint | None) -> Packet | None:
    if constraint is None:
        return None
    for name, kind in _CONSTRAINTS.items():
        if isinstance(constraint, kind):
            return {"kind": name, **asdict(constraint)}
    raise TypeError(f"{type(constraint).__name__} has no form to cross a process border in")


def _unpack_constraint(packet: Packet | None) -> Constraint | None:
    if packet is None:
        return None
    values = dict(packet)
    kind = _CONSTRAINTS[values.pop("kind")]
    return kind(**{**values, "closing_ids": tuple(values["closing_ids"])})
