"""Expressions of ECMA-262, which JSON Schema speaks, in the words of another engine.

Source: ECMA-262, 15th edition, section 22.2; https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SPACE = "\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_LINE_ENDS = "\n\r\u2028\u2029"

_PART = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair that is one character
    r"|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\c[A-Za-z]|\\.|\[\^\]|\[\]|.",
    re.DOTALL,
)


def for_re2(pattern: str) -> str:
    """The expression with what RE2 does not know, or reads in another way, said otherwise."""
    return _rewritten(pattern, end="$", nothing=r"[^\x00-\x{10FFFF}]")


def for_python(pattern: str) -> str:
    """The same for Python's own engine, to be compiled with `re.ASCII`."""
    named = pattern.replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    return _rewritten(named, end=r"\Z", nothing="(?!)")


def _rewritten(pattern: str, *, end: str, nothing: str) -> str:
    named = {
        r"\s": f"[{_SPACE}]",
        r"\S": f"[^{_SPACE}]",
        ".": f"[^{_LINE_ENDS}]",
        "$": end,
        "[^]": "(?s:.)",
        "[]": nothing,
    }
    written: list[str] = []
    in_class = False
    for found in _PART.finditer(pattern):
        part = found[0]
        if part == "[" and not in_class:
            in_class = True
        elif part == "]" and in_class:
            in_class = False
        written.append(_in_class(part) if in_class else named.get(part) or _character(part))
    return "".join(written)


def _in_class(part: str) -> str:
    return _SPACE if part == r"\s" else _character(part)


def _character(part: str) -> str:
    """An escape by number as the character itself; anything else as it is."""
    if len(part) == 12:
        return _literal(part.encode().decode("unicode_escape"))
    kinds: dict[str, Callable[[], str]] = {
        r"\u": lambda: chr(int(part[2:], 16)),
        r"\x": lambda: chr(int(part[2:], 16)),
        r"\c": lambda: chr(ord(part[2]) % 32),
    }
    kind = kinds.get(part[:2]) if len(part) > 2 else None
    return part if kind is None else _literal(kind())


def _literal(text: str) -> str:
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return whole if whole.isalnum() or not whole.isascii() else f"\\x{ord(whole):02x}"
