"""How much of an answer is kept back before the caller sees any of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_llm.errors import InvalidParameterError

if TYPE_CHECKING:
    from edge_llm.runtime.chat_request import ChatRequest

HoldKind: TypeAlias = Literal["none", "window", "sentence", "full"]

_WINDOW = re.compile(r"window\((\d{1,6})\)")

DEFAULT_WINDOW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Hold:
    """Until when an answer may still be replaced by that of another tier."""

    kind: HoldKind
    num_tokens: int = 0
    """Of `window`: tokens of the answer that are kept back."""

    def __str__(self) -> str:
        return f"window({self.num_tokens})" if self.kind == "window" else self.kind


NO_HOLD = Hold("none")


def parse_hold(text: object) -> Hold:
    """`none`, `window(n)`, `sentence` or `full`; `window` alone holds 16 tokens.

    Raises:
        InvalidParameterError: it is none of these.
    """
    match text:
        case "none" | "sentence" | "full":
            return Hold(text)
        case "window":
            return Hold("window", DEFAULT_WINDOW_TOKENS)
        case str() if (found := _WINDOW.fullmatch(text)) and int(found[1]) > 0:
            return Hold("window", int(found[1]))
    raise InvalidParameterError(
        f"hold must be 'none', 'window(n)', 'sentence' or 'full', not {text!r}"
    )


def hold_for(request: ChatRequest) -> Hold:
    """How long drafts are held: to the end, where only a whole one can be judged."""
    if request.validator is not None or request.on_doubt == "verify":
        return Hold("full")
    return request.hold
