"""What a domain says of its calls, as text: `adding [{quantity} ]{item} to the cart`.

`{slot}` is the value of a slot; what stands in brackets is left out where one of its slots is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_SLOT = re.compile(r"\{(\w+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


class ReplySlots(NamedTuple):
    """The slots that a reply names."""

    needed: tuple[str, ...]
    optional: tuple[str, ...]
    """Those in brackets."""


def find_slots(reply: str) -> ReplySlots:
    """The slots in `reply`."""
    optional = tuple(_SLOT.findall("".join(_OPTIONAL.findall(reply))))
    return ReplySlots(tuple(_SLOT.findall(_OPTIONAL.sub("", reply))), optional)


def fill_reply(reply: str, arguments: Mapping[str, object]) -> str:
    """`reply` with the values of `arguments`.

    Raises:
        KeyError: a slot outside of brackets is not in `arguments`.
    """

    def keep(group: re.Match[str]) -> str:
        inner = group[1]
        return inner if all(slot in arguments for slot in _SLOT.findall(inner)) else ""

    return _SLOT.sub(lambda match: str(arguments[match[1]]), _OPTIONAL.sub(keep, reply))
