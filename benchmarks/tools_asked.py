"""What is asked for in `bench_tools`, and the engine that answers: one call of a home.

A model with random weights writes nothing that anybody would. Where both sides are to write the
same bytes, both are steered by the same `logit_bias` towards the tokens of `TARGET`, longer ones
more, so that each spells as a trained model would; the grammar is the same for both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.engine_speed import NUM_TOP
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.constrain.grammar import Grammar, JsonSchema
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.types import SamplingParams

NAMES = ("light_on", "light_off", "set_brightness", "set_temperature")
AREAS = ("kitchen", "living room", "bath", "bedroom")

CALL_SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "properties": {
            "name": {"enum": list(NAMES)},
            "area": {"enum": list(AREAS)},
            "brightness": {"type": "integer", "minimum": 0, "maximum": 100},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 1440},
        },
        "required": ["name", "area", "brightness", "minutes"],
        "additionalProperties": False,
    }
)

CALL_GBNF = r"""
root ::= "{\"name\":\"" name "\",\"area\":\"" area "\",\"brightness\":" hundred ",\"minutes\":" day "}"
name ::= "light_on" | "light_off" | "set_brightness" | "set_temperature"
area ::= "kitchen" | "living room" | "bath" | "bedroom"
hundred ::= "100" | [1-9] [0-9]? | "0"
day ::= [1-9] [0-9]? [0-9]? | "1" ([0-3] [0-9] [0-9] | "4" ([0-3] [0-9] | "40"))
""".strip()  # noqa: E501
"""The same language in llama.cpp's words, as compact as ours."""

TARGET = '{"name":"set_brightness","area":"kitchen","brightness":4,"minutes":4}'
"""One digit, so that steering need not know which number it is in."""

STEER = 8.0
"""Added to a token's logit for each of its characters."""

SYSTEM = (
    "You control a home. Answer with one call as JSON: name, area, brightness in percent, minutes. "
    f"Names: {', '.join(NAMES)}. Areas: {', '.join(AREAS)}."
)
"""Stays in both sides' prefix caches."""


def messages(number: int) -> list[dict[str, str]]:
    """A conversation that only shares its system prompt with those of other numbers."""
    asked = f"{number}: dim the kitchen a bit"
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]


def call_grammar() -> JsonSchema:
    """Ours for the call."""
    return JsonSchema(json.loads(json.dumps(dict(CALL_SCHEMA))))


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of ours and what it took."""

    text: str
    elapsed_s: float
    """From the messages to the last token."""
    cpu_s: float
    num_prompt_tokens: int
    num_tokens: int
    num_forced: int
    """Tokens that the grammar left no choice about."""
    is_whole: bool
    """Whether it fits its grammar to the end."""


class Ours:
    """An engine that answers one request at a time, with a chat template before it."""

    def __init__(self, model: Path, threads: int) -> None:
        config = EdgeConfig(context_size=4096, threads=threads, max_num_seqs=4)
        self.engine = Engine(load_backend(model, config))
        source = self.engine.backend.info.chat_template
        assert source is not None, "the model has a template"
        tokenizer = self.engine.backend.tokenizer
        self._encoder = PromptEncoder(tokenizer, ChatTemplate.for_tokenizer(source, tokenizer))

    def ask(
        self,
        asked: Sequence[Mapping[str, Any]],
        params: SamplingParams,
        grammar: Grammar | None = None,
    ) -> Answered:
        """The answer to a conversation, statistics of every token on, as they are by default."""
        started, cpu_started = time.perf_counter(), time.process_time()
        prompt = self._encoder.encode(asked).token_ids
        request = EngineRequest(prompt, params, grammar=grammar, statistics=NUM_TOP)
        self.engine.add_request(request)
        text, num_tokens, num_forced, is_whole = "", 0, 0, False
        while self.engine.has_work:
            for event in self.engine.step():
                if event.error is not None:
                    raise event.error
                text += event.text
                num_tokens += len(event.token_ids)
                num_forced += sum(one is None for one in event.statistics)
                is_whole = bool(event.fits_grammar)
        elapsed_s = time.perf_counter() - started
        cpu_s = time.process_time() - cpu_started
        num_prompt = len(request.token_ids)
        return Answered(text, elapsed_s, cpu_s, num_prompt, num_tokens, num_forced, is_whole)

    def steering(self, text: str) -> dict[int, float]:
        """The bias towards the tokens of a text."""
        tokenizer = self.engine.backend.tokenizer
        ids = tokenizer.encode_inner(text)
        return {one: STEER * len(tokenizer.token_bytes(one)) for one in ids}

    def close(self) -> None:
        """Free the model."""
        self.engine.close()


def greedy(max_tokens: int, bias: Mapping[int, float] | None = None) -> SamplingParams:
    """The most likely token each time."""
    params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
    return params if bias is None else replace(params, logit_bias=dict(bias))
