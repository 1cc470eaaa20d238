"""The one door to llguidance, which says what may come next; imported when it is first needed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from edge_llm.errors import ConfigError, EdgeLLMError, GrammarError, GrammarTooLargeError
from edge_llm.prompt.tokenizer import Tokenizer, TokenKind

LIMITS = {
    "max_items_in_row": 8_000,
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 500_000,
    "step_max_items": 50_000,
    "max_lexer_states": 100_000,
    "max_grammar_size": 200_000,
    "verbose_errors": False,
}
"""What the library may spend, in its own units: 1 million of fuel is about 20 ms, a state 2 kB."""

_TOO_LARGE = re.compile(
    r"too (big|large|complex|many|deep)|fuel|limit|TooComplex|recursion|maximum number",
    re.IGNORECASE,
)

SPECIAL = b"\xff"
"""By this first byte the library knows tokens that are no text."""


class Vocabulary:
    """A tokenizer in the words of the library: it reads these names, and calls it for text."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.eog_ids.union(
            token.id
            for token in tokenizer.special_tokens
            if token.kind is not TokenKind.USER_DEFINED
        )
        self._tokenizer = tokenizer
        self.eos_token_id = min(special & tokenizer.eog_ids)
        self.bos_token_id = tokenizer.bos_id
        self.special_token_ids = sorted(special)
        self.tokens = tokenizer.all_token_bytes()
        for token_id in special:
            self.tokens[token_id] = SPECIAL + self.tokens[token_id]

    def __call__(self, text: bytes | str) -> list[int]:
        """Token ids of text that continues other text."""
        return self._tokenizer.encode_inner(text if isinstance(text, str) else text.decode())


def create_vocabulary(tokenizer: Tokenizer) -> Any:
    """The library's `LLTokenizer`, built once for a model.

    It takes 0.8 s of one core and 70 MB for 152k tokens, 0.1 s and a few MB for 32k.

    Raises:
        GrammarError: the vocabulary has no token to end an answer with.
    """
    if not tokenizer.eog_ids:
        raise GrammarError(
            "the model has no token that ends an answer, so that no grammar can end one",
            hint="set its end of turn in the model's files",
        )
    with translated():
        wrapped = Vocabulary(tokenizer)
        made = _library().LLTokenizer(wrapped, eos_token=sorted(tokenizer.eog_ids))
        wrapped.tokens.clear()  # the library has its own copy
        return made


def create_matcher(vocabulary: Any, grammar: str) -> Any:
    """The library's `LLMatcher` for a grammar in its own format.

    Raises:
        GrammarError: it is no grammar, or no text fits it.
        GrammarTooLargeError: a limit was reached.
    """
    library = _library()
    with translated():
        limits = library.LLParserLimits(**LIMITS)
        matcher = library.LLMatcher(vocabulary, grammar, log_level=0, limits=limits)
        check(matcher)
    return matcher


def refuses_pattern(pattern: str) -> bool:
    """Whether the library cannot use a pattern of a schema."""
    library = _library()
    schema = json.dumps({"type": "string", "pattern": pattern})
    with translated():
        grammar = library.LLMatcher.grammar_from_json_schema(schema)
        limits = library.LLParserLimits(**LIMITS)
        return bool(library.LLMatcher.validate_grammar(grammar, limits=limits))


def check(matcher: Any) -> None:
    """Return when the matcher is in order.

    Raises:
        GrammarError: it is not; the text is the library's own.
    """
    if matcher.is_error():
        raise grammar_error(matcher.get_error())


def grammar_error(said: str) -> GrammarError:
    """What the library says, as a typed error."""
    said = " ".join(said.replace("<non-verbose/>", "").split())
    is_too_large = _TOO_LARGE.search(said) is not None
    if len(said) > 300:
        said = f"{said[:150]} … {said[-150:]}"
    if is_too_large:
        return GrammarTooLargeError(f"the grammar is too large: {said}")
    return GrammarError(f"the grammar cannot be used: {said}")


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the library, its panics included, as ours."""
    try:
        yield
    except (EdgeLLMError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError as exc:
        raise GrammarTooLargeError("the grammar takes more memory than there is") from exc
    except BaseException as exc:
        raise grammar_error(str(exc) or type(exc).__name__) from exc


def ask(method: Callable[..., Any], *arguments: Any) -> Any:
    """What a method of the library returns; its errors are `translated`."""
    # Asked for every token: entering a context manager would take longer than many questions.
    try:
        return method(*arguments)
    except BaseException:
        with translated():
            raise


@cache
def _library() -> Any:
    try:
        import llguidance
    except ImportError as exc:
        raise ConfigError(
            f"the library 'llguidance' cannot be loaded: {exc}", hint="pip install llguidance"
        ) from exc
    return llguidance
