"""What may leave the device, and what is found and replaced before it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edge_llm.config.checks import not_one_of
from edge_llm.errors import ConfigError

Media: TypeAlias = Literal["refuse", "allow"]
"""Whether images, sound and files, which cannot be searched, may leave under `redact`."""

_TEXTS = ("regions", "terms", "patterns", "keep")


@dataclass(frozen=True, slots=True)
class PrivacyConfig:
    """The default label and the rules of redaction."""

    label: str | None = None
    """`local_only`, `redact` or `allow`; None says nothing, which is `redact` where a cloud tier is
    configured. A word that is none of these counts as `local_only`."""
    lan_is_local: bool = False
    """Whether `local_only` may go to endpoints with trust `lan`, such as the owner's own server."""
    regions: tuple[str, ...] = ()
    """Countries, as `DE`, whose phone numbers are found without their international prefix; empty
    takes all that are known well enough."""
    terms: tuple[str, ...] = ()
    """Words and phrases that never leave; upper and lower case are one."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, in RE2's syntax, of what never leaves."""
    keep: tuple[str, ...] = ()
    """Texts that may leave although a rule would find them, such as a public number."""
    recogniser: str | Callable[[str], Any] | None = None
    """What finds names and addresses: a callable, or `package.module:callable`; see
    `edge_llm.privacy.recogniser`."""
    media: Media = "refuse"

    def __post_init__(self) -> None:
        if self.label is not None and not isinstance(self.label, str):
            raise ConfigError(f"privacy.label must be text, not {self.label!r}")
        if not isinstance(self.lan_is_local, bool):
            raise ConfigError(
                f"privacy.lan_is_local must be True or False, not {self.lan_is_local!r}"
            )
        for name in _TEXTS:
            texts = getattr(self, name)
            if not isinstance(texts, tuple) or not all(isinstance(t, str) and t for t in texts):
                # Never quoted: these are what must not be seen.
                raise ConfigError(f"privacy.{name} must be texts that are not empty")
        if not (
            self.recogniser is None or isinstance(self.recogniser, str) or callable(self.recogniser)
        ):
            raise ConfigError("privacy.recogniser must be callable, or 'package.module:callable'")
        if self.media not in ("refuse", "allow"):
            raise ConfigError(not_one_of("privacy.media", Media, self.media))

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={len(getattr(self, name))}" for name in _TEXTS)
        return f"PrivacyConfig(label={self.label!r}, {counts})"
