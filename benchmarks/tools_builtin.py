"""The built-in model with its calls under a grammar against without: exact commands, forced tokens.

The same sentences, greedy, one at a time: sums depend on who else is computed, so that the order of
a batch alone changes an answer or two in a hundred, with a grammar or without. The grammar allows
text, and calls of the 41 intents with slots of the right types; what a copied one may hold is free.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from benchmarks.report import Figure, figure
from edge_llm.constrain.calls.answer import CallRules, answer_grammar
from edge_llm.constrain.grammar import Grammar
from edge_llm.engine.request import EngineRequest
from edge_llm.hub.packaged import models_folder
from edge_llm.prompt.calls.base import OfferedTool
from edge_llm.prompt.calls.registry import format_named
from scripts.builtin.domain import load_domain
from scripts.builtin.evaluate import (
    SUITES,
    Asked,
    Examiner,
    Reply,
    draw_cases,
    run_suite,
    to_asked,
)
from scripts.builtin.intents import Intent, SlotType

MODEL = models_folder() / "builtin" / "edge-llm-builtin-q8_0.gguf"
SUITE_NAMES = ("test patterns", "test patterns, 15 % word errors", "two commands", "unseen names")

_SLOTS: Mapping[SlotType, Mapping[str, Any]] = MappingProxyType(
    {
        SlotType.TEXT: {"type": "string"},
        SlotType.OPEN: {"type": "string"},
        SlotType.WORD: {"type": "string"},
        SlotType.PERCENT: {"type": "integer", "minimum": 0, "maximum": 100},
        SlotType.COUNT: {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        SlotType.DEGREES: {"type": "number"},
        SlotType.KELVIN: {"type": "integer", "minimum": 1000, "maximum": 10_000},
        SlotType.STEP: {
            "anyOf": [
                {"enum": ["up", "down"]},
                {"type": "integer", "minimum": -100, "maximum": 100},
            ]
        },
    }
)


class PlainExaminer(Examiner):
    """The built-in model, one request at a time: side by side, sums would depend on the others."""

    def __init__(self) -> None:
        super().__init__(str(MODEL))

    def ask(
        self, asked: Iterable[Asked], *, told: Callable[[int], None] = lambda _: None
    ) -> list[Reply]:
        """See `Examiner.ask`."""
        return [
            reply for one in asked for reply in super(PlainExaminer, self).ask([one], told=told)
        ]


class ConstrainedExaminer(PlainExaminer):
    """The same, its answers under the grammar of its intents."""

    def __init__(self) -> None:
        super().__init__()
        self._grammar = intents_grammar(self.model.facts.call_format)

    def _request(self, asked: Asked) -> EngineRequest:
        return replace(super()._request(asked), grammar=self._grammar)

    def count_forced(self, asked: Asked) -> tuple[int, int]:
        """Tokens of the answer that were forced, and all of them."""
        return asyncio.run(self._count_forced(asked))

    async def _count_forced(self, asked: Asked) -> tuple[int, int]:
        run = await self.model.start(self._request(asked))
        num_forced = num_tokens = 0
        while True:
            event = await run.next()
            num_tokens += len(event.token_ids)
            num_forced += sum(one is None for one in event.statistics)
            if event.is_last:
                return num_forced, num_tokens


def intents_grammar(call_format: str) -> Grammar:
    """Text, or calls of the intents of the shipped domain."""
    tools = tuple(map(_offered, load_domain().intents.values()))
    return answer_grammar(format_named(call_format), CallRules(tools))


def _offered(intent: Intent) -> OfferedTool:
    schema = {
        "type": "object",
        "properties": {slot: dict(_SLOTS[kind]) for slot, kind in intent.slots.items()},
        "required": list(intent.required),
        "additionalProperties": False,
    }
    return OfferedTool(intent.name, schema)


def exact_commands(count: int, seed: int) -> dict[str, Figure]:
    """Exact and valid answers of each suite, with and without, and who won where they differ."""
    examiners = {"without": PlainExaminer(), "with": ConstrainedExaminer()}
    figures: dict[str, Figure] = {}
    won = lost = 0
    for name in SUITE_NAMES:
        cases = {
            key: run_suite(examiner, SUITES[name], count, seed)
            for key, examiner in examiners.items()
        }
        for key, found in cases.items():
            figures[f"builtin.{name}.{key}"] = _share([case.is_right for case in found])
            figures[f"builtin.{name}.{key}.valid"] = _share([case.is_valid for case in found])
        pairs = list(zip(cases["with"], cases["without"], strict=True))
        won += sum(one.is_right and not other.is_right for one, other in pairs)
        lost += sum(other.is_right and not one.is_right for one, other in pairs)
    for examiner in examiners.values():
        examiner.close()
    figures["builtin.right_only_with"] = figure([won], "commands")
    figures["builtin.right_only_without"] = figure(
        [lost], "commands", goal=won, direction="at_most"
    )
    return figures


def _share(right: Sequence[bool]) -> Figure:
    return figure([100 * sum(right) / max(1, len(right))], "%")


def forced_share(count: int, seed: int) -> dict[str, Figure]:
    """Tokens that the grammar left no choice about, spoken words and all.

    Few: a name is one token of this vocabulary, and what is copied or spoken is free.
    """
    examiner = ConstrainedExaminer()
    drawn = draw_cases(SUITES["test patterns"], count, seed)
    counts = [examiner.count_forced(to_asked(conversation)) for conversation in drawn]
    examiner.close()
    shares = [100 * forced / total for forced, total in counts if total]
    mean = math.fsum(shares) / len(shares)
    return {"builtin.forced_tokens": figure([mean], "%")}
