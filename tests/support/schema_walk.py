"""Answers that a grammar allows and nobody would give: every token drawn by lot among the allowed.

Without a model: what is written depends on the mask alone, so that what it wrongly allows turns up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edge_llm.constrain.compile import CompiledGrammar, GrammarCompiler
from edge_llm.constrain.grammar import JsonSchema
from edge_llm.errors import GrammarError
from edge_llm.prompt.tokenizer import Tokenizer
from tests.support.schema_oracle import faults

CLOSING = (b'"', b"}", b"]", b'"}', b'"]', b"}}", b"]}", b",", b',"', b'",', b'","')
"""Drawn more often, so that most answers come to an end."""

WEIGHT = 20

Verdict: TypeAlias = Literal["valid", "refused", "cut", "relaxed", "invalid"]
"""`relaxed`: broken where the compiler said that it cannot enforce something."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of one schema."""

    verdict: Verdict
    detail: str = ""


class Walker:
    """Draws answers from one vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.compiler = GrammarCompiler(tokenizer)
        self._tokenizer = tokenizer
        self._closing = {
            i for i in range(tokenizer.vocab_size) if tokenizer.token_bytes(i) in CLOSING
        } | tokenizer.eog_ids

    def walk(self, schema: Any, seed: int, max_tokens: int = 500) -> Walk:
        """Compile, draw an answer, have it judged."""
        try:
            compiled = self.compiler.compile(JsonSchema(schema))
        except GrammarError as error:
            return Walk("refused", f"{type(error).__name__}: {error}")
        text = self.draw(compiled, random.Random(seed), max_tokens)
        if text is None:
            return Walk("cut")
        found = faults(schema, text)
        if not found:
            return Walk("valid", text)
        return Walk("relaxed" if compiled.relaxed else "invalid", f"{text[:300]} {found[:3]}")

    def draw(self, compiled: CompiledGrammar, rng: random.Random, max_tokens: int) -> str | None:
        """One answer that the grammar allows; None when it is longer than that."""
        matcher, text = compiled.start(), b""
        for _ in range(max_tokens):
            for token_id in matcher.forced():
                if token_id in self._tokenizer.eog_ids:
                    return text.decode()
                assert matcher.accept(token_id), "it was forced"
                text += self._tokenizer.token_bytes(token_id)
            if matcher.is_complete:
                return text.decode()
            ids = matcher.allowed().ids.tolist()
            assert ids, f"nothing is allowed after {text[-80:]!r}"
            weights = [WEIGHT if i in self._closing else 1 for i in ids]
            chosen: int = rng.choices(ids, weights)[0]
            if chosen in self._tokenizer.eog_ids:
                assert matcher.fits, "the end was allowed"
                return text.decode()
            assert matcher.accept(chosen), "it was allowed"
            text += self._tokenizer.token_bytes(chosen)
        return None
