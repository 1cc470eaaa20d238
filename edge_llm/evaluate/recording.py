"""What the tiers said to one question, what it cost, and how right it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from edge_llm.confidence.checkpoints import Checkpoint
from edge_llm.evaluate.graders.base import Call, Reply


@dataclass(frozen=True, slots=True)
class Look:
    """What was known of a local draft at one checkpoint."""

    features: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """By name; those that nobody could tell are left out."""
    num_tokens: int | None = None
    """Of the answer, when it was looked at."""
    time_s: float | None = None
    """Seconds from the request to this moment."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "features": dict(self.features),
            "num_tokens": self.num_tokens,
            "time_s": self.time_s,
        }


@dataclass(frozen=True, slots=True)
class Said:
    """One tier's answer to one question."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish_reason: str | None = None
    error: str | None = None
    """The code of what kept it from answering, for good; such an answer is wrong."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    ttft_s: float | None = None
    e2e_s: float | None = None
    looks: Mapping[Checkpoint, Look] = field(default_factory=lambda: MappingProxyType({}))
    """In the order in which the draft passed them; of local drafts alone."""

    @property
    def reply(self) -> Reply:
        """What of it is graded."""
        return Reply(self.text, self.calls)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        record = {f.name: getattr(self, f.name) for f in fields(self)}
        record["calls"] = [{"name": n, "arguments": dict(a)} for n, a in self.calls]
        record["looks"] = {name: look.to_dict() for name, look in self.looks.items()}
        return record


def said_from_dict(record: Mapping[str, Any]) -> Said:
    """The answer that `Said.to_dict` wrote down."""
    values = dict(record)
    values["calls"] = tuple((call["name"], call["arguments"]) for call in values["calls"])
    values["looks"] = {name: Look(**look) for name, look in values["looks"].items()}
    return Said(**values)


@dataclass(frozen=True, slots=True)
class Recording:
    """One question, answered here and, where it was asked, by the cloud."""

    id: str
    local: Said
    local_correct: float
    """In [0, 1]; 1 is right."""
    cloud: Said | None = None
    cloud_correct: float | None = None
    """None where the cloud was not asked."""
    refined: Said | None = None
    """What the cloud made of the local draft, where it was shown that."""
    refined_correct: float | None = None
    prompt: str = field(default="", repr=False)
    """What the user said last."""
    task: str | None = None
    group: str | None = None
    weight: float = 1.0
