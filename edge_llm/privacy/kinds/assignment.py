"""Passwords, tokens and codes that are told by the name before them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from edge_llm.privacy.spans import PiiKind, Span

_SEPARATOR = r"[\"']?\s{0,2}(?::=|=>|->|[:=]|\bis\b:?|\bist\b|\bes\b|\best\b|\bè\b)\s{0,3}"

_VALUE = (
    r"(?:\"(?P<double>[^\"\n]{1,200})\"|'(?P<single>[^'\n]{1,200})'"
    r"|(?P<bare>[^\s\"'<>]{1,200}))"
)

_PASSWORD = re.compile(
    r"(?<![A-Za-z])(?P<name>pass(?:word|wd|phrase|code)?|pwd|passwort|kennwort|mot de passe"
    r"|contraseña|senha|wachtwoord|lösenord|hasło|psk|wpa_?key)"
    rf"(?:[ _-](?:for|of|to|für)(?: [\w-]{{1,30}}){{1,4}})?{_SEPARATOR}{_VALUE}",
    re.IGNORECASE,
)

_SECRET = re.compile(
    r"(?P<name>(?:secret|token|credential|apikey|client[_ -]?secret|auth|(?:api|access|auth|account"
    r"|private|shared|encryption|signing|client|master|license|licence|session)[_ -]?key)s?)"
    rf"(?![A-Za-z]){_SEPARATOR}{_VALUE}",
    re.IGNORECASE,
)

_CODE = re.compile(
    r"(?<![A-Za-z])(?:(?:pin|puk|tan|otp|cvv|cvc|cvc2|cvv2|2fa|mfa)(?:[ -]?(?:code|number|nummer))?"
    r"|(?:door|gate|alarm|lock|safe|garage|entry|access|security|verification|confirmation|one-time"
    r"|unlock|disarm|key ?pad)[ -]?(?:code|pin|combination|passcode))"
    rf"(?:[ _-](?:for|of|to)(?: [\w-]{{1,30}}){{1,4}})?(?:{_SEPARATOR}|[ ]{{1,2}}(?:number[ ])?)"
    r"[\"']?(?P<bare>\d(?:[ -]?\d){2,9})(?![\w%])",
    re.IGNORECASE,
)

_PUNCTUATION = ".,:;|!?)]}"

_NO_PASSWORDS = """
str string text bytes int integer bool boolean float any object none null nil undefined true false
yes no on off required optional empty missing wrong incorrect invalid correct expired reset changed
set unset needed weak strong secret hidden redacted default ok not the a an in to for too very also
now always never here there only stored saved sent used based case sensitive protected manager
field prompt input again already still just really being been about what why how who where when my
your our their his her this that these those then and but or if with of on at by from as it its than
long short longer shorter easy hard good bad better best simple complex safe unsafe secure insecure
stolen lost leaked unknown known same different new old right locked blocked hashed encrypted salted
visible shown written kept gone given asked accepted rejected refused updated created deleted up
more less most enough important private public personal shared temporary permanent case-sensitive
"""
"""What follows the name in a sentence or a program, and is no password."""

_WORDS = frozenset(_NO_PASSWORDS.split())

_CODE_LIKE = re.compile(
    r"\$[{(]|\$(?:[A-Z_][A-Z0-9_]*|[a-z_]+)\Z|%[A-Z_]+%|\{\{|<|\*{3}|\w[\w.]*[(\[]|[(\[{]"
    r"|(?:self|os|env|process|config|settings|this|args)\."
)
"""A variable, a call, a placeholder."""


def find(text: str) -> Iterator[Span]:
    """The values in a text that are given as a password, as a secret, or as a code."""
    for match in _PASSWORD.finditer(text):
        if _is_password(match):
            yield _span(match)
    for match in _SECRET.finditer(text):
        value = _value(match)
        if len(value) >= 12 and _is_random(value) and not _CODE_LIKE.match(value):
            yield _span(match)
    for match in _CODE.finditer(text):
        yield Span(match.start("bare"), match.end("bare"), PiiKind.KEY)


def _span(match: re.Match[str]) -> Span:
    group = next(name for name in ("double", "single", "bare") if match[name] is not None)
    end = match.end(group)
    if group == "bare":
        end = match.start(group) + len(match[group].rstrip(_PUNCTUATION)) or end
    return Span(match.start(group), end, PiiKind.KEY)


def _value(match: re.Match[str]) -> str:
    quoted = match["double"] or match["single"]
    return quoted or (match["bare"] or "").rstrip(_PUNCTUATION)


def _is_password(match: re.Match[str]) -> bool:
    value = _value(match)
    if match["double"] or match["single"]:
        return not _CODE_LIKE.match(value) and value.lower() not in _WORDS
    return len(value) >= 3 and not _CODE_LIKE.match(value) and value.lower() not in _WORDS


def _is_random(value: str) -> bool:
    """Whether a value looks drawn: several kinds of characters, and few of them again."""
    if re.fullmatch(r"[A-Za-z]+|\d{1,11}|[A-Z_]+|[a-z]+(?:[_.-][a-z]+)*", value):
        return False
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
    return bits >= 2.8
