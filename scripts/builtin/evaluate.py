"""Measures a model through the runtime: how often it is right, and whether it knows when it is not.

Prompts go through the model's own chat template, answers through the runtime's own parser.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from edge_llm.confidence.metrics.auroc import auroc as area_under_curve
from edge_llm.config import EdgeConfig
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import ContextLengthExceededError
from edge_llm.prompt.call_formats import ParsedToolCall
from edge_llm.prompt.parse import OutputParser, TextDelta
from edge_llm.runtime.local import LocalModel, LocalRun, load_local_model
from edge_llm.types import SamplingParams
from scripts.builtin.chat import Message
from scripts.builtin.conversations import Conversation, Kind, Source
from scripts.builtin.domain import Domain, load_domain
from scripts.builtin.generator import Generator
from scripts.builtin.intents import ToolCall

MAX_TOKENS = 320
AT_ONCE = 16
"""Requests that the engine has at a time."""

_COMMANDS = (Kind.COMMAND,)
SUITES: dict[str, Source] = {
    "test patterns": Source(True, bare=True, slips=0.0, kinds=_COMMANDS, num_commands=1),
    "test patterns, 15 % word errors": Source(
        True, bare=True, slips=0.15, kinds=_COMMANDS, num_commands=1
    ),
    "trained patterns": Source(bare=True, slips=0.0, kinds=_COMMANDS, num_commands=1),
    "trained patterns, 15 % word errors": Source(
        bare=True, slips=0.15, kinds=_COMMANDS, num_commands=1
    ),
    "unseen names": Source(
        unseen_names=True, bare=True, slips=0.0, kinds=_COMMANDS, num_commands=1
    ),
    "two commands": Source(bare=True, slips=0.0, kinds=_COMMANDS, num_commands=2),
    "three commands": Source(bare=True, slips=0.0, kinds=_COMMANDS, num_commands=3),
    "listed home": Source(slips=0.0, kinds=_COMMANDS, num_commands=1, has_home=True),
    "follow-ups and corrections": Source(slips=0.0, kinds=(Kind.FOLLOW_UP,)),
    "what the home lacks": Source(slips=0.0, kinds=(Kind.ABSENT,)),
    "without a tool for it": Source(slips=0.0, kinds=(Kind.UNOFFERED,)),
    "small talk and time": Source(slips=0.0, kinds=(Kind.SMALL_TALK, Kind.TIME)),
    "tool results": Source(slips=0.0, kinds=(Kind.TOOL_RESULT,)),
    "out of scope, test lines": Source(True, bare=True, slips=0.0, kinds=(Kind.REFUSED,)),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked: messages and tools as an application sends them."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, and how sure it was."""

    calls: list[ToolCall]
    text: str
    unsure: float
    """Probability of the unsure token at the first token of the answer; 0 to 1."""
    is_unsure: bool
    """Whether the answer opens with that token."""
    logprob: float
    """Mean log-probability of the answer's tokens, in nats."""
    min_logprob: float
    num_tokens: int


class Timed(NamedTuple):
    """How long an answer took, in seconds from when it was asked for."""

    first_s: float
    whole_s: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation of a suite and what the model made of its last turn."""

    conversation: Conversation
    reply: Reply
    domain: Domain

    @property
    def asked(self) -> str:
        """What the user said last."""
        return next(m.content for m in reversed(self.conversation.messages) if m.role == "user")

    @property
    def expected(self) -> Message:
        """The turn to be written."""
        return self.conversation.messages[-1]

    @property
    def is_right(self) -> bool:
        """All calls with all slots; without a call, the very words and whether to be unsure."""
        if self.reply.is_unsure != self.expected.is_unsure:
            return False
        if self.expected.calls:
            return self.reply.calls == list(self.expected.calls) and bool(self.reply.text)
        return not self.reply.calls and self.reply.text == self.expected.content

    @property
    def is_valid(self) -> bool:
        """It says something, and every call is one of the table with slots of the right type."""
        calls = self.reply.calls
        faults = [fault for call in calls for fault in self.domain.intents.find_faults(call)]
        return bool(self.reply.text.strip()) and "<|" not in self.reply.text and not faults

    @property
    def has_copied(self) -> bool:
        """Whether every name, area and text that was said is in the calls, letter by letter."""
        return self._copied(self.expected.calls) == self._copied(self.reply.calls)

    def _copied(self, calls: Iterable[ToolCall]) -> list[tuple[str, object]]:
        return [
            (slot, value)
            for call in calls
            for slot, value in sorted(call.arguments.items())
            if (kind := self.domain.intents.slot_type(call.name, slot)) and kind.is_copied
        ]


class Examiner:
    """One loaded model that answers greedily."""

    def __init__(self, path: str, *, threads: int = 1, **options: Any) -> None:
        config = EdgeConfig(
            model=path, threads=threads, max_num_seqs=AT_ONCE, cache_max_mb=0, **options
        )
        self.model: LocalModel = load_local_model(config)
        token = self.model.facts.unsure_token_id
        self._watched = () if token is None else (token,)

    def ask(
        self, asked: Iterable[Asked], *, told: Callable[[int], None] = lambda _: None
    ) -> list[Reply]:
        """The answers to all of `asked`, in their order; `told` hears of each that is done."""
        return asyncio.run(self._ask(list(asked), told))

    def time(self, asked: Asked) -> Timed:
        """Answers one request alone, encoding included, by the clock."""
        return asyncio.run(self._time(asked))

    def close(self) -> None:
        """Free the model."""
        self.model.close()

    async def _ask(self, asked: list[Asked], told: Callable[[int], None]) -> list[Reply]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(item: Asked) -> Reply:
            async with gate:
                reply = await self._answer(item)
            told(1)
            return reply

        return await asyncio.gather(*(one(item) for item in asked))

    async def _time(self, asked: Asked) -> Timed:
        started = time.perf_counter()
        first, num_tokens = started, 0
        async for event in _events(await self.model.start(self._request(asked))):
            if num_tokens == 0:
                first = time.perf_counter()
            num_tokens += len(event.token_ids)
        return Timed(first - started, time.perf_counter() - started, num_tokens)

    def _request(self, asked: Asked) -> EngineRequest:
        facts = self.model.facts
        prompt = self.model.encode(asked.messages, asked.tools or None)
        room = facts.max_model_len - len(prompt.token_ids)
        return EngineRequest(
            token_ids=tuple(prompt.token_ids),
            params=SamplingParams(temperature=0.0, max_tokens=min(MAX_TOKENS, room)),
            visible_tokens=facts.visible_tokens,
            statistics=1,
            watched_ids=self._watched,
        )

    async def _answer(self, asked: Asked) -> Reply:
        parser = OutputParser()
        segments: list[Any] = []
        logprobs: list[float] = []
        unsure = -math.inf
        first: int | None = None
        async for event in _events(await self.model.start(self._request(asked))):
            segments += parser.add(event.text)
            for statistics in event.statistics:
                if statistics is None:
                    continue
                if first is None:
                    first = statistics.token_id
                    unsure = statistics.watched_logprobs[0] if self._watched else -math.inf
                logprobs.append(statistics.logprob)
        segments += parser.finish()
        return Reply(
            calls=[
                ToolCall(s.name, s.arguments) for s in segments if isinstance(s, ParsedToolCall)
            ],
            text="".join(s.text for s in segments if isinstance(s, TextDelta)),
            unsure=math.exp(unsure),
            is_unsure=first is not None and first in self._watched,
            logprob=sum(logprobs) / max(1, len(logprobs)),
            min_logprob=min(logprobs, default=0.0),
            num_tokens=len(logprobs),
        )


async def _events(run: LocalRun) -> AsyncIterator[SequenceEvent]:
    """All events of a request."""
    try:
        while True:
            event = await run.next()
            yield event
            if event.is_last:
                return
    finally:
        run.abort()


def draw_cases(
    source: Source, count: int, seed: int, domain: Domain | None = None
) -> list[Conversation]:
    """Conversations of another seed than training has: none is shared but by chance.

    Raises:
        ValueError: the domain has no texts for what `source` asks for.
    """
    return list(itertools.islice(Generator(f"evaluate/{seed}", source, domain), count))


def to_asked(conversation: Conversation) -> Asked:
    """The messages before the last, and the tools, as an application sends them."""
    turns = [m for m in conversation.messages[:-1] if m.role != "tools"]
    tools = [
        _to_tool(line)
        for m in conversation.messages
        if m.role == "tools"
        for line in m.content.splitlines()
    ]
    return Asked([_to_openai(m, i) for i, m in enumerate(turns)], tools)


def run_suite(
    examiner: Examiner,
    source: Source,
    count: int,
    seed: int,
    *,
    domain: Domain | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> list[Case]:
    """`count` conversations of `source`, answered; those that do not fit are left out."""
    domain = domain or load_domain()
    drawn = [c for c in draw_cases(source, count, seed, domain) if _fits(examiner, c)]
    replies = examiner.ask(map(to_asked, drawn), told=told)
    return [Case(c, reply, domain) for c, reply in zip(drawn, replies, strict=True)]


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Probability that a value of `higher` is above one of `lower`; NaN where one is empty."""
    labels = [True] * len(higher) + [False] * len(lower)
    area = area_under_curve([*higher, *lower], labels)
    return math.nan if area is None else area


def evaluate(path: Path, domain: Domain, *, count: int, seed: int) -> None:
    """Prints the scores of the model at `path` as JSON, with a few failures of each suite.

    A suite that the domain has no texts for is null.
    """
    examiner = Examiner(str(path))
    suites: dict[str, list[Case]] = {}
    for name, source in fit_suites(domain).items():
        suites[name] = run_suite(examiner, source, count, seed, domain=domain)
    examiner.close()
    report: dict[str, object] = {
        name: _summarise(suites[name]) if name in suites else None for name in SUITES
    }
    home, refused = suites.get("test patterns", []), suites.get("out of scope, test lines", [])
    report["AUROC of being unsure, out of scope against test patterns"] = auroc(
        [case.reply.unsure for case in refused], [case.reply.unsure for case in home]
    )
    print(json.dumps(report, indent=1, ensure_ascii=False))


def fit_suites(domain: Domain) -> dict[str, Source]:
    """The suites that can be drawn from `domain`, of the kinds that it has."""
    suites: dict[str, Source] = {}
    for name, source in SUITES.items():
        with contextlib.suppress(ValueError):
            known = Generator(0, replace(source, kinds=(), has_home=None), domain).kinds
            fitting = replace(source, kinds=tuple(k for k in source.kinds if k in known))
            if fitting.kinds:
                Generator(0, fitting, domain)
                suites[name] = fitting
    return suites


def _summarise(cases: Sequence[Case]) -> dict[str, object]:
    wrong = [case for case in cases if not case.is_right]
    weak = Counter(case.conversation.topic for case in wrong if case.conversation.topic)
    drawn = Counter(case.conversation.topic for case in cases)
    return {
        "right": 1 - len(wrong) / max(1, len(cases)),
        "invalid": sum(not case.is_valid for case in cases),
        "wrong most often": {t: f"{n} of {drawn[t]}" for t, n in weak.most_common(5)},
        "failures": [[c.asked, c.reply.calls, c.reply.text, c.reply.unsure] for c in wrong[:9]],
    }


def _fits(examiner: Examiner, conversation: Conversation) -> bool:
    asked = to_asked(conversation)
    try:
        prompt = examiner.model.encode(asked.messages, asked.tools or None)
    except ContextLengthExceededError:
        return False
    return len(prompt.token_ids) + MAX_TOKENS <= examiner.model.facts.max_model_len


def _to_openai(message: Message, index: int) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        turn["tool_calls"] = [
            {
                "id": f"call_{index}_{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for number, call in enumerate(message.calls)
        ]
    if message.role == "tool":
        turn["tool_call_id"] = f"call_{index - 1}_0"
    return turn


def _to_tool(line: str) -> dict[str, Any]:
    name, _, slots = line.removesuffix(")").partition("(")
    properties = {slot: {"type": "string"} for slot in slots.split(",") if slot}
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}
