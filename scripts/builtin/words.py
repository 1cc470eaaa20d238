"""The words sentences are made of: real names of rooms and devices, and invented ones.

Half of all names are invented from syllables, so that the model learns to copy a name letter by
letter instead of choosing one it has seen. `Names(unseen=True)` draws only from words and
syllables that training never sees.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from scripts.builtin.domain import Domain
from scripts.builtin.templates import split_words

KIND_NOUNS: dict[str, tuple[str, ...]] = {
    "light": ("lamp", "spotlight", "lantern", "chandelier"),
    "cover": ("blind", "curtain", "gate", "shutter", "awning", "skylight"),
    "fan": ("ventilator", "blower", "purifier", "fan"),
    "player": ("tv", "radio", "speaker", "stereo"),
    "media": ("tv", "radio", "speaker", "stereo"),
    "vacuum": ("vacuum", "hoover", "robot vacuum"),
    "mower": ("mower", "lawn mower"),
    "climate": ("radiator", "boiler", "air conditioner", "oven"),
}
"""Kinds whose invented names need a noun: without it the sentence would fit two intents."""
LOCAL_NOUNS = ("lamp", "tv", "radio", "heater", "speaker", "plug")
_ROOM_NOUNS = ("room", "room", "corner", "wing", "house", "bedroom", "hall", "cabin", "lounge")


_ONSETS = split_words(
    "b|br|c|ch|cl|d|dr|f|fl|g|gr|h|j|k|kl|l|m|n|p|pr|qu|r|s|sh|sl|st|t|tr|v|w|y|z|"
)
_VOWELS = split_words("a|e|i|o|u|ai|ea|ee|ie|oo|ou|y|ei|io")
_CODAS = split_words("|||b|ck|d|g|l|ll|m|n|nd|p|r|rn|s|sk|ss|st|t|x|th")
_ACCENTS = (("e", "é"), ("u", "ü"), ("o", "ö"), ("a", "å"), ("o", "ø"), ("i", "í"), ("a", "ä"))
_UNSEEN_ONSETS = split_words("gl|pl|sc|sm|sn|sp|spr|str|th|thr|tw|wh|bl|cr|fr|gw|zh|sw")
_UNSEEN_VOWELS = split_words("a|e|i|o|u|au|oa|ia|ua|oe|ue|eo")
_UNSEEN_CODAS = split_words("|||ct|ft|lk|mp|ng|nk|pt|rd|rk|rt|sh|tch|lt|v|z|rm|lm")


def name_texts(domain: Domain) -> list[str]:
    """What listed names are made of: its words are copied, so they need the same tokens always."""
    lexicon = domain.lexicon
    lists = [lexicon[name] for name in domain.grammar.copied_lists]
    if lexicon.has_homes:
        fixed = (LOCAL_NOUNS, _ROOM_NOUNS, *KIND_NOUNS.values())
        named = (lexicon[name] for name in ("areas", "people", "head_nouns"))
        lists += [*fixed, *named, *lexicon.devices.values()]
    return [entry for entries in lists for entry in entries]


def invented_texts(domain: Domain, count: int) -> list[str]:
    """`count` invented names, and the words of other subjects that occur in names."""
    names = Names(random.Random(0), domain)
    return [*(names.phrase() for _ in range(count)), *domain.lexicon.common]


class Names:
    """Draws names of things, places and people of one domain from one random stream."""

    def __init__(self, rng: random.Random, domain: Domain, *, unseen: bool = False) -> None:
        self.rng = rng
        self.domain = domain
        self.lexicon = domain.lexicon
        self.unseen = unseen

    def word(self) -> str:
        """An invented word of one to three syllables, three letters at least."""
        while True:
            length = self.rng.choices((1, 2, 3), (2, 6, 2))[0]
            word = "".join(self._syllable() for _ in range(length))
            if len(word) > 2:
                return self._accent(word) if self.rng.random() < 0.04 else word

    def phrase(self) -> str:
        """One or two invented words."""
        count = 1 if self.rng.random() < 0.7 else 2
        return " ".join(self.word() for _ in range(count))

    def area(self) -> str:
        """A room such as `kitchen`, `blorvik`, `anna's room` or `bedroom 2`."""
        roll = self.rng.random()
        if roll < 0.42:
            return self.rng.choice(self.lexicon["areas_unseen" if self.unseen else "areas"])
        if roll < 0.74:
            return self.phrase()
        if roll < 0.84:
            return f"{self.common_word()} {self.rng.choice(_ROOM_NOUNS)}"
        if roll < 0.91:
            return f"{self.word()} {self.rng.choice(_ROOM_NOUNS)}"
        if roll < 0.96:
            return f"{self.person()}'s room"
        return f"{self.rng.choice(('bedroom', 'bathroom', 'office', 'room'))} {self._number()}"

    def floor(self) -> str:
        """A floor such as `upstairs`."""
        return self.rng.choice(self.lexicon["floors"])

    @property
    def listed(self) -> dict[str, str]:
        """The spelling that a list of the home has for each name; there is no list here."""
        return {}

    def device(self, kind: str) -> str:
        """A device of `kind` (a list `devices_KIND`), real or invented."""
        if kind in KIND_NOUNS:
            return self._device_with_noun(kind)
        roll = self.rng.random()
        if roll < 0.48:
            devices = self.lexicon.devices[kind]
            return self.rng.choice(self.lexicon["devices_unseen"] if self.unseen else devices)
        if roll < 0.7 or kind in ("timer", "list"):
            return self.common_word() if self.rng.random() < 0.3 else self.phrase()
        if roll < 0.8:
            return f"{self.common_word()} {self._head_noun()}"
        if roll < 0.88:
            return f"{self.word()} {self._head_noun()}"
        if roll < 0.93:
            return f"{self.person()}'s {self.rng.choice(LOCAL_NOUNS)}"
        if roll < 0.97:
            return f"{self.area()} {self.rng.choice(LOCAL_NOUNS)}"
        return f"{self._head_noun()} {self._number()}"

    def common_word(self) -> str:
        """An English word of three letters or more, which says nothing about the domain."""
        lexicon = self.lexicon
        return self.rng.choice(lexicon.unseen_common if self.unseen else lexicon.common)

    def person(self) -> str:
        """A first name, real or invented."""
        if self.rng.random() < 0.5:
            return self.word()
        return self.rng.choice(self.lexicon["people_unseen" if self.unseen else "people"])

    def free_text(self, known: Sequence[str]) -> str:
        """A thing to buy, play or announce: from `known`, invented, or both mixed."""
        roll = self.rng.random()
        if roll < 0.5 and not self.unseen:
            return self.rng.choice(known)
        if roll < 0.65:
            return self.phrase()
        if roll < 0.85:
            return f"{self.rng.choice(known)} {self.word()}"
        return " ".join(self.common_word() for _ in range(self.rng.randint(1, 4)))

    def entry(self, name: str) -> str:
        """An entry of the list `name`, and as often one that is invented.

        Where unseen names are asked for, entries come from the list `NAME_unseen`, if there is one.
        """
        known = self.lexicon.get(f"{name}_unseen") if self.unseen else self.lexicon[name]
        roll = self.rng.random()
        if roll < 0.5 and known:
            return self.rng.choice(known)
        if roll < 0.8:
            return self.phrase()
        tail = self.rng.choice(self.lexicon[name]).split()[-1]
        return f"{self.common_word() if roll < 0.9 else self.word()} {tail}"

    def _device_with_noun(self, kind: str) -> str:
        roll = self.rng.random()
        if roll < 0.4 and not self.unseen:
            return self.rng.choice(self.lexicon.devices[kind])
        noun = self.rng.choice(KIND_NOUNS[kind])
        if roll < 0.52:
            return f"{self.common_word()} {noun}"
        if roll < 0.85:
            return f"{self.phrase()} {noun}"
        return f"{self.person()}'s {noun}"

    def _head_noun(self) -> str:
        return self.rng.choice(self.lexicon["head_nouns"])

    def _syllable(self) -> str:
        parts = (_ONSETS, _VOWELS, _CODAS)
        if self.unseen:
            parts = (_UNSEEN_ONSETS, _UNSEEN_VOWELS, _UNSEEN_CODAS)
        return "".join(self.rng.choice(part) for part in parts)

    def _accent(self, word: str) -> str:
        plain, accented = self.rng.choice(_ACCENTS)
        return word.replace(plain, accented, 1)

    def _number(self) -> int:
        return self.rng.randint(1, 12)
