"""Names and addresses, by whatever the user brings: a callable from a text to places in it.

```python
def recognise(text: str) -> Iterable[tuple[int, int, str]]:  # start, end, "NAME" or "ADDRESS"
    ...
```
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from edge_llm.errors import PrivacyRuleError
from edge_llm.privacy.spans import Finder, PiiKind, Span

Recogniser: TypeAlias = Callable[[str], Iterable[tuple[int, int, str]]]


def load_recogniser(reference: str | Recogniser) -> Recogniser:
    """The callable at `package.module:name`, or the one that was given.

    Raises:
        PrivacyRuleError: there is none.
    """
    if not isinstance(reference, str):
        return reference
    module_name, _, name = reference.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise PrivacyRuleError(
            f"privacy.recogniser: there is no {reference!r}", hint="'package.module:callable'"
        ) from exc
    if not callable(found):
        raise PrivacyRuleError(f"privacy.recogniser: {reference!r} cannot be called")
    recogniser: Recogniser = found
    return recogniser


def create_recogniser_finder(recogniser: Recogniser) -> Finder:
    """A finder that checks what the recogniser gives: one that errs must not let anything pass."""

    def find(text: str) -> Iterator[Span]:
        for start, end, kind in recogniser(text):
            if not 0 <= start < end <= len(text):
                raise ValueError("a place outside of the text")
            yield Span(start, end, PiiKind(kind))

    return find
