"""Slips: what a speech recogniser hears and what fingers type, at a given share of words.

A slip never takes away what decides a command: no digit is changed, and no `on`, `off`, `up` or
`down` is dropped.
"""

from __future__ import annotations

import random
import re

from scripts.builtin.templates import split_words

_HEARD: dict[str, tuple[str, ...]] = {
    "a": ("uh", "the", ""),
    "add": ("ad", "at", "had"),
    "all": ("al", "oll"),
    "and": ("an", "in", "end", "n"),
    "are": ("or", "our", "r"),
    "at": ("add", "that"),
    "blinds": ("blind's", "blines", "blends"),
    "brightness": ("brightens", "bright ness"),
    "by": ("buy", "bye"),
    "can": ("ken", "cam"),
    "cancel": ("council", "cancer", "cansel"),
    "clean": ("clene", "lean"),
    "close": ("clothes", "claws", "cloze"),
    "curtains": ("certains", "curtin's"),
    "degrees": ("degree", "the grease", "degreese"),
    "dim": ("them", "din", "tim"),
    "door": ("dore", "the or", "doer"),
    "eight": ("ate",),
    "fan": ("van", "fun"),
    "for": ("four", "fer"),
    "four": ("for",),
    "front": ("frond", "funt"),
    "garage": ("garbage", "garaj"),
    "heating": ("eating", "heeding"),
    "i": ("eye", "i i"),
    "in": ("and", "an", "inn", "n"),
    "is": ("his", "as", "iz"),
    "it": ("at", "id"),
    "lamp": ("lamb", "lump"),
    "light": ("lite", "like", "lights"),
    "lights": ("lites", "light", "light's", "like"),
    "list": ("lest", "lists"),
    "lock": ("look", "luck", "log"),
    "make": ("may", "mike"),
    "me": ("mi", "knee"),
    "minutes": ("minute", "minuets", "minits"),
    "music": ("musik", "music's"),
    "my": ("mai", "the"),
    "of": ("off", "a"),
    "off": ("of", "of", "offf"),
    "on": ("own", "un", "onn"),
    "one": ("won",),
    "open": ("opened", "oben"),
    "pause": ("paws", "pores"),
    "percent": ("per cent", "present", "person"),
    "play": ("lay", "plate"),
    "please": ("peas", "pleas", ""),
    "right": ("write", "rite"),
    "set": ("said", "sat", "sit", "sets"),
    "shut": ("shot", "should"),
    "some": ("sum", "summ"),
    "start": ("stark", "star"),
    "stop": ("stock", "top"),
    "switch": ("which", "swish"),
    "the": ("da", "a", "de", "", "teh", "this"),
    "there": ("their", "they're"),
    "timer": ("time her", "tymer", "times"),
    "to": ("two", "too", "the", "do"),
    "turn": ("tern", "torn", "turned", "tune"),
    "two": ("to", "too"),
    "up": ("app", "upp"),
    "vacuum": ("vacume", "back room", "vaccum"),
    "volume": ("column", "volumn"),
    "what": ("wat", "but"),
    "what's": ("whats", "once"),
    "will": ("well",),
    "you": ("u", "ya"),
}
_KEPT = frozenset(split_words("on|off|up|down|not|no|open|close|lock|unlock|all|mute|unmute|never"))
_DROPPED = frozenset(split_words("the|a|an|to|please|of|my|is|are|in|some|for|me|you|can|it"))
_FILLERS = split_words("uh|um|er|ah|like|the|a|so|well|hmm")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_VOWELS = "aeiou"


def slip(text: str, rng: random.Random, share: float, *, is_name: bool = False) -> str:
    """`text` with about `share` of its words changed; white space at its ends is kept.

    A name is only misspelled: its words are never dropped, added or taken for others.
    """
    pieces = re.split(r"(\s+)", text)
    for index in range(0, len(pieces), 2):
        if pieces[index] and rng.random() < share:
            pieces[index] = _slip_word(pieces[index], rng, is_name=is_name)
    slipped = "".join(pieces)
    if slipped.strip():
        return re.sub(r"(?<=\S) {2,}(?=\S)", " ", slipped)
    return text


def _slip_word(word: str, rng: random.Random, *, is_name: bool) -> str:
    lowered = word.lower()
    if any(char.isdigit() for char in word):
        return word
    if is_name:
        return _mistype(word, rng)
    roll = rng.random()
    if lowered in _HEARD and roll < 0.5:
        return rng.choice(_HEARD[lowered])
    if lowered in _DROPPED and roll < 0.7:
        return ""
    if roll < 0.62:
        return f"{rng.choice(_FILLERS)} {word}"
    if roll < 0.66:
        return f"{word} {word}"
    if lowered in _KEPT and roll < 0.8:
        return word
    return _mistype(word, rng)


def _mistype(word: str, rng: random.Random) -> str:
    """`word` with one slip of the finger; a word of two letters stays."""
    letters = [i for i, char in enumerate(word) if char.isalpha()]
    if len(letters) < 3:
        return word
    at = rng.choice(letters[1:])
    roll = rng.random()
    if roll < 0.28:
        return word[:at] + word[at + 1 :]
    if roll < 0.45:
        return word[:at] + word[at] + word[at:]
    if roll < 0.7:
        return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
    if roll < 0.85 and word[at].lower() in _VOWELS:
        return word[:at] + rng.choice(_VOWELS) + word[at + 1 :]
    return word[:at] + _neighbour(word[at], rng) + word[at + 1 :]


def _neighbour(char: str, rng: random.Random) -> str:
    for row in _KEYS:
        at = row.find(char.lower())
        if at >= 0:
            return row[max(0, min(len(row) - 1, at + rng.choice((-1, 1))))]
    return char
