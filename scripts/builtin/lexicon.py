"""The lists of words of a domain, and what is asked of them.

A list that a domain does not have is that of the home, so that colours, people or cities need not
be written down again. Only its own lists say what there is to talk about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from scripts.builtin.grammar import is_held_out
from scripts.builtin.templates import split_words

DEVICE_KINDS = ("light", "switch", "cover", "lock", "fan", "media", "vacuum", "climate", "thing")
"""Kinds of devices that a listed home is furnished with; each has a list `devices_KIND`."""
_COMMON = ("animals", "topics", "works", "deeds", "writings", "languages", "places")
_NOT_NAMES = frozenset(
    split_words(
        "the|and|for|with|from|off|out|all|how|why|who|what|when|where|into|onto|open|close|set|"
        "turn|lock|add|play|stop|start|cancel|room|house|light|lights|lamp|door|timer|list|clean"
    )
)


class Lexicon:
    """All lists by name."""

    def __init__(
        self, lists: Mapping[str, tuple[str, ...]], own: Iterable[str], in_questions: Iterable[str]
    ) -> None:
        self._lists = lists
        self.own = frozenset(own)
        """Names of the lists in the folder of the domain."""
        self.in_questions = tuple(entry for name in in_questions for entry in self.get(name))
        """Words of the domain that occur in what is out of scope as well."""
        self.common, self.unseen_common = self._split_common()
        self.devices = {
            name.removeprefix("devices_"): entries
            for name, entries in lists.items()
            if name.startswith("devices_") and name != "devices_unseen"
        }
        self.devices["player"] = self.devices["media"]

    def __getitem__(self, name: str) -> tuple[str, ...]:
        """The entries of the list `name`.

        Raises:
            KeyError: there is no such list.
        """
        try:
            return self._lists[name]
        except KeyError:
            raise KeyError(f"there is no words/{name}.txt") from None

    def get(self, name: str) -> Sequence[str]:
        """The entries of the list `name`; none when there is no such list."""
        return self._lists.get(name, ())

    @property
    def has_homes(self) -> bool:
        """Whether the domain has rooms and devices to put into them."""
        return self.own.issuperset({"areas", *(f"devices_{kind}" for kind in DEVICE_KINDS)})

    def _split_common(self) -> tuple[list[str], list[str]]:
        """Words of the lists for other subjects: those of training, and one in ten kept from it."""
        texts = (entry for name in _COMMON for entry in self[name])
        found = {word for text in texts for word in re.findall(r"[a-z]{3,}", text)} - _NOT_NAMES
        seen = sorted(word for word in found if not is_held_out(word))
        return seen, sorted(found - set(seen))
