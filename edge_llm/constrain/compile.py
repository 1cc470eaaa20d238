"""From a description to a matcher for one vocabulary, remembered for the next answer.

Safe to use from any thread. The vocabulary is built when the first grammar comes.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge_llm.constrain import library
from edge_llm.constrain.deep import run_deep
from edge_llm.constrain.grammar import Grammar, JsonSchema
from edge_llm.constrain.lark import write_grammar
from edge_llm.constrain.matcher import Matcher
from edge_llm.constrain.packing import dump_grammar
from edge_llm.constrain.schema import MAX_SCHEMAS, prepare_schema
from edge_llm.errors import GrammarError, UnsupportedSchemaError
from edge_llm.prompt.tokenizer import Tokenizer

MAX_COMPILED = 32
"""Grammars kept compiled: each takes from some kB to a few MB."""

PATIENCE_S = 0.5
"""CPU time after which no weaker form of a grammar is tried any more: on a busy machine too."""

STACK_BYTES = 8 << 20
SCHEMA_BYTES = 12_000
"""Stack for each schema: the library goes into definitions by recursion, and ends the process where
the stack does. It was seen to use 5 kB (llguidance 1.9.1)."""

_WEAKER = (
    ("oneOf",),
    ("patternProperties",),
    ("minProperties", "maxProperties"),
    ("pattern",),
    ("format",),
    ("multipleOf",),
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    ("minLength", "maxLength"),
    ("allOf",),
)
"""Keywords that the library refuses now and then, in the order in which they are given up."""

_BAD_PATTERNS = "bad patterns"
"""Stands for those patterns that the library refuses one by one."""


def _attempts() -> Iterator[frozenset[str]]:
    """What to give up: nothing, then one thing, then more and more."""
    yield frozenset()
    yield frozenset((_BAD_PATTERNS,))
    yield from map(frozenset, _WEAKER)
    for count in range(2, len(_WEAKER) + 1):
        yield frozenset(itertools.chain(*_WEAKER[:count]))


@dataclass(frozen=True, slots=True)
class CompiledGrammar:
    """A grammar ready for answers of one model."""

    template: Matcher
    relaxed: tuple[str, ...]
    """JSON pointers of what the grammar does not enforce: to be checked in the answer."""

    def start(self) -> Matcher:
        """The place of an answer that begins now."""
        return self.template.copy()


class GrammarCompiler:
    """Compiles for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary: Any = None
        self._building = threading.Lock()
        self._lock = threading.Lock()
        self._compiled: OrderedDict[bytes, CompiledGrammar] = OrderedDict()

    def compile(self, grammar: Grammar) -> CompiledGrammar:
        """The grammar for this vocabulary; found again at once as long as it is remembered.

        Raises:
            UnsupportedSchemaError: a strict schema cannot be kept to.
            GrammarTooLargeError: it passes a bound on time or memory.
            GrammarError: it is no grammar, or no text fits it.
        """
        text = dump_grammar(grammar)
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            found = self._compiled.get(key)
            if found is not None:
                self._compiled.move_to_end(key)
                return found
        has_schema = '"JsonSchema"' in text or "%json" in text
        # The root may be walked twice: as itself, and as what refers to it finds it.
        num_schemas = min(MAX_SCHEMAS, 2 * text.count("{"))
        compiled = run_deep(
            lambda: self._compile(grammar, _attempts() if has_schema else iter((frozenset(),))),
            stack_bytes=STACK_BYTES + SCHEMA_BYTES * num_schemas,
        )
        with self._lock:
            self._compiled[key] = compiled
            while len(self._compiled) > MAX_COMPILED:
                self._compiled.popitem(last=False)
        return compiled

    def _compile(self, grammar: Grammar, attempts: Iterator[frozenset[str]]) -> CompiledGrammar:
        self._get_vocabulary()  # the first time that takes longer than any grammar
        started_s = time.thread_time()
        first: GrammarError | None = None
        for given_up in attempts:
            try:
                return self._attempt(grammar, given_up, first)
            except UnsupportedSchemaError:
                raise
            except GrammarError as error:
                first = first or error
                if "nsatisfiable" in str(error) or time.thread_time() > started_s + PATIENCE_S:
                    break
        raise first or GrammarError("the grammar cannot be used")

    def _attempt(
        self, grammar: Grammar, given_up: frozenset[str], why: GrammarError | None
    ) -> CompiledGrammar:
        """The grammar without some keywords; `why` is what the library said to them."""
        relaxed: list[str] = []
        refused: list[str] = []

        def schema_of(part: JsonSchema) -> Mapping[str, Any]:
            prepared = prepare_schema(
                part.schema,
                strict=part.strict and not given_up,
                without=given_up - {_BAD_PATTERNS},
                refuses=library.refuses_pattern if _BAD_PATTERNS in given_up else None,
            )
            (refused if part.strict else relaxed).extend(prepared.relaxed)
            return prepared.schema

        text = write_grammar(grammar, self._tokenizer, schema_of)
        vocabulary = self._get_vocabulary()
        template = Matcher(library.create_matcher(vocabulary, text), vocabulary.vocab_size)
        template.warm_up()
        if refused:
            raise UnsupportedSchemaError(refused[-1], refused[-1].rpartition("/")[2], str(why))
        return CompiledGrammar(template, tuple(dict.fromkeys(relaxed)))

    def _get_vocabulary(self) -> Any:
        with self._building:
            if self._vocabulary is None:
                self._vocabulary = library.create_vocabulary(self._tokenizer)
            return self._vocabulary
