"""The `pattern` of a schema on a text, in bounded time whatever both are.

RE2 takes time in proportion to the text. What it cannot express, such as looking ahead, is left to
Python's own expressions in a process that is ended when it takes too long.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from typing import Any

from edge_llm.errors import InvalidParameterError
from edge_llm.runtime.structured.ecma import for_python, for_re2

LONGEST_SEARCH_S = 2.0
"""For an expression that RE2 cannot run; the start of the process included."""

_SEARCH = """
import json, re, sys
pattern, text = json.load(sys.stdin)
print(int(re.search(pattern, text, re.ASCII) is not None))
"""


class SlowPatternError(Exception):
    """The expression took too long on the text."""


def matches(pattern: str, text: str) -> bool:
    """Whether the expression matches anywhere in the text.

    Raises:
        InvalidParameterError: it is no expression.
        SlowPatternError: nobody knows, within `LONGEST_SEARCH_S`.
    """
    compiled = _compiled(pattern)
    # RE2 takes UTF-8, in which half a surrogate pair has no place.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if compiled is not None:
        return compiled.search(whole) is not None
    return _search_elsewhere(pattern, whole)


def check_pattern(pattern: str, where: str) -> None:
    """Read an expression now rather than later.

    Raises:
        InvalidParameterError: it is none; `where` is in the text.
    """
    try:
        _compiled(pattern)
    except InvalidParameterError as error:
        raise InvalidParameterError(f"{where}: {error.message}") from None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any | None:
    """The expression as RE2 has it; None where only Python's own engine can run it."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(for_re2(pattern), options)
    except (re2.error, UnicodeEncodeError):
        pass
    try:
        re.compile(for_python(pattern), re.ASCII)
    except (re.error, RecursionError, OverflowError) as exc:
        raise InvalidParameterError(f"{pattern!r} is no regular expression: {exc}") from None
    return None


@functools.lru_cache(maxsize=256)
def _search_elsewhere(pattern: str, text: str) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([for_python(pattern), text]),
            capture_output=True,
            text=True,
            timeout=LONGEST_SEARCH_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SlowPatternError(f"the pattern {pattern!r} takes too long") from None
    if done.returncode != 0:
        raise SlowPatternError(f"the pattern {pattern!r} could not be run")
    return done.stdout.strip() == "1"
