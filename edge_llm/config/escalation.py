"""When a request moves to a later tier, and what the caller sees meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from edge_llm.config.checks import is_number, not_one_of, refuse_unknown
from edge_llm.errors import ConfigError

OnDoubt: TypeAlias = Literal["defer", "race", "draft_and_refine", "verify", "continue"]
"""What a doubtful draft leads to: the next tier answers instead; answers beside it, and the first
good one counts; improves the draft; only judges it; or goes on after what was let out."""

POLICIES = (
    "privacy",
    "capability",
    "context_length",
    "task",
    "health",
    "offline",
    "budget",
    "deadline",
)
"""The routing policies that are asked, in this order, unless the configuration says otherwise."""

KNOWN_POLICIES = (*POLICIES, "model_router")

DEFERRAL_RULES = ("confidence", "empty", "loop", "truncated", "validator", "deadline")

_RULE_KEYS = ("tier", "tag", "pattern")


@dataclass(frozen=True, slots=True)
class EscalationConfig:
    """How the tiers work together. Without further tiers none of it has any effect."""

    policies: tuple[str, ...] = POLICIES
    """Which rules choose a tier before anything is generated; the first that refuses a tier is the
    reason that the record gives. "model_router" asks the local model first."""
    deferral: tuple[str, ...] = DEFERRAL_RULES
    """Which rules give a draft up, in order."""
    rules: tuple[Mapping[str, str], ...] = ()
    """Tasks with a tier of their own: `{pattern = "(?i)prove", tier = "cloud"}`, or by `tag`."""
    threshold: float | None = None
    """Score below which a draft is given up; None takes that of the signal."""
    band: float = 0.2
    """How far above the threshold a draft is still doubtful: there a race begins."""
    router_threshold: float = 0.5
    """Hardness, as the local model estimates it, above which "model_router" escalates."""
    hold: str = "sentence"
    """What a stream keeps back: "none", "window(n)", "sentence" or "full". `chat` takes "full"."""
    on_doubt: OnDoubt = "defer"
    deadline_s: float | None = None
    """Seconds that a request may take in all; None sets no limit of its own."""
    local_share: float = 0.25
    """Part of the time left that is kept for a local answer while the cloud is asked, where the
    speed of the local model is not known yet."""
    min_available_memory_mb: int = 64
    """Local models are spared while less memory than this is free; 0 is off."""
    max_memory_pressure: float = 0.4
    """And while some task waits for memory for more than this share of the time; 1 is off."""
    max_temperature_c: float = 85.0
    """And while the processor is hotter than this."""
    spare_when_throttled: bool = True
    """And while its clock is held down for heat or for lack of power."""

    def __post_init__(self) -> None:
        _require_names("policies", self.policies, KNOWN_POLICIES)
        _require_names("deferral", self.deferral, DEFERRAL_RULES)
        if self.on_doubt not in get_args(OnDoubt):
            raise ConfigError(not_one_of("escalation.on_doubt", OnDoubt, self.on_doubt))
        for name, most in _NUMBERS.items():
            _require_number(name, getattr(self, name), most)
        if not isinstance(self.hold, str):
            raise ConfigError(f"escalation.hold must be text, not {self.hold!r}")
        if not isinstance(self.spare_when_throttled, bool):
            raise ConfigError("escalation.spare_when_throttled must be True or False")
        for rule in self.rules:
            _check_rule(rule)


_NUMBERS = {
    "threshold": 1.0,
    "band": 1.0,
    "router_threshold": 1.0,
    "deadline_s": 1e6,
    "local_share": 0.9,
    "min_available_memory_mb": 1e9,
    "max_memory_pressure": 1.0,
    "max_temperature_c": 1000.0,
}
_OPTIONAL = ("threshold", "deadline_s")


def _require_names(option: str, names: object, known: tuple[str, ...]) -> None:
    if not isinstance(names, tuple):
        raise ConfigError(f"escalation.{option} must be a list of names, not {names!r}")
    refuse_unknown({str(name): None for name in names}, known, f"name in escalation.{option}")


def _require_number(name: str, value: Any, most: float) -> None:
    if value is None and name in _OPTIONAL:
        return
    if not is_number(value) or not 0 <= value <= most:
        raise ConfigError(f"escalation.{name} must be a number from 0 to {most:g}, not {value!r}")


def _check_rule(rule: object) -> None:
    if not isinstance(rule, Mapping) or not all(isinstance(v, str) and v for v in rule.values()):
        raise ConfigError("a rule of escalation.rules must be a table of texts")
    refuse_unknown(rule, _RULE_KEYS, "key in a rule of escalation.rules")
    if "tier" not in rule or len(rule) != 2:
        raise ConfigError("a rule of escalation.rules needs 'tier', and 'tag' or 'pattern'")
