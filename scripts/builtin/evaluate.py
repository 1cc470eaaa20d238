"""Measures a model: how often its calls and its words are exactly right.

A GGUF file runs through llama.cpp, an ONNX file or folder through onnxruntime.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scripts.builtin.chat import Answer, Message, parse_answer, render_prompt
from scripts.builtin.generator import Conversation, Generator, Kind, Source
from scripts.builtin.intents import find_faults
from scripts.builtin.plain import all_cases
from scripts.builtin.runner import CONTEXT_TOKENS
from scripts.builtin.speech import REFUSAL

SUITES: dict[str, Source] = {
    "own distribution": Source(),
    "unseen names": Source(unseen_names=True, bare=True),
    "held-out patterns": Source(held_out_patterns=True, bare=True),
}


class AnyRunner(Protocol):
    """What runs a model."""

    def tokenize(self, text: str) -> list[int]:
        """The token ids of `text`, control tokens recognised."""
        ...

    def answer(self, prompt: str) -> str:
        """What the model writes after `prompt`, up to the end mark."""
        ...


@dataclass(slots=True)
class Score:
    """Counts of one test."""

    num_total: int = 0
    num_exact: int = 0
    """Calls and text are both exactly right."""
    num_calls_right: int = 0
    num_invalid: int = 0
    """The answer cannot be parsed, is empty, or has a call outside the table."""
    by_kind: dict[Kind, list[int]] = field(default_factory=dict)
    """Right calls and total of each kind of turn."""
    failures: list[dict[str, str]] = field(default_factory=list)

    def add(self, conversation: Conversation, written: str) -> None:
        """Counts one answer, `written`, against the one in `conversation`."""
        last = conversation.messages[-1]
        right = self._has_right_calls(conversation, written)
        self.num_total += 1
        self.num_calls_right += right
        self.num_exact += right and _parse(written).text == last.content
        self.num_invalid += not is_valid(written)
        counts = self.by_kind.setdefault(conversation.kind, [0, 0])
        counts[0] += right
        counts[1] += 1
        if not right:
            asked = conversation.messages[-2].content
            kind = conversation.kind.value
            self.failures.append({"kind": kind, "asked": asked, "written": written})

    def _has_right_calls(self, conversation: Conversation, written: str) -> bool:
        answer = _parse(written)
        expected = list(conversation.messages[-1].calls)
        if answer.calls != expected or not answer.text:
            return False
        # Without a call the words are the answer: a refusal must be the refusal.
        return bool(expected) or answer.text == conversation.messages[-1].content


def evaluate(path: Path, *, count: int, seed: int) -> None:
    """Prints the scores of the file at `path` as JSON, with a few failures of each test."""
    runner = _open_runner(path)
    started = time.monotonic()
    report: dict[str, object] = {
        name: _run_suite(runner, source, count, seed) for name, source in SUITES.items()
    }
    report["plain sentences"] = _run_plain(runner)
    report["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(report, indent=1, ensure_ascii=False))


def _open_runner(path: Path) -> AnyRunner:
    # Imported here: neither library is needed for the other's files.
    if path.suffix == ".gguf":
        from scripts.builtin.runner import Runner

        return Runner(path)
    from scripts.builtin.onnx_runner import OnnxRunner

    return OnnxRunner(path)


def _run_suite(runner: AnyRunner, source: Source, count: int, seed: int) -> dict[str, object]:
    score = Score()
    # Another seed than training has: no conversation is shared but by chance.
    drawn = iter(Generator(f"evaluate/{seed}", source))
    fitting = (c for c in drawn if _fits(runner, c))
    for conversation in itertools.islice(fitting, count):
        prompt = render_prompt(conversation.messages[:-1])
        score.add(conversation, runner.answer(prompt))
    return {
        "total": score.num_total,
        "calls right": round(score.num_calls_right / score.num_total, 4),
        "calls and words right": round(score.num_exact / score.num_total, 4),
        "invalid": score.num_invalid,
        "by kind": {kind.value: f"{n[0]}/{n[1]}" for kind, n in score.by_kind.items()},
        "questions answered with a call": _count_called(score),
        "failures": score.failures[:12],
    }


def _fits(runner: AnyRunner, conversation: Conversation) -> bool:
    """Whether prompt and right answer fit in the context; training leaves out the others too."""
    return len(runner.tokenize(render_prompt(conversation.messages))) <= CONTEXT_TOKENS


def _count_called(score: Score) -> str:
    """How many failures are questions to refuse that were answered with a call."""
    called = Counter(
        "call" if failure["written"].startswith("<tool_call>") else "words"
        for failure in score.failures
        if failure["kind"] == Kind.REFUSED.value
    )
    return f"{called['call']}/{score.by_kind.get(Kind.REFUSED, [0, 0])[1]}"


def _run_plain(runner: AnyRunner) -> dict[str, object]:
    """Scores of the hand-written sentences: commands and sentences to refuse apart."""
    counts: Counter[str] = Counter()
    failures = []
    for case in all_cases():
        written = runner.answer(render_prompt((Message("user", case.asked),)))
        answer = _parse(written)
        right = answer.calls == case.calls and (bool(case.calls) or answer.text == REFUSAL)
        kind = "commands" if case.calls else "refusals"
        counts[kind] += 1
        counts[f"{kind} right"] += right
        counts["refusals answered with a call"] += not case.calls and bool(answer.calls)
        if not right:
            failures.append({"asked": case.asked, "written": written})
    return {**counts, "failures": failures}


def is_valid(written: str) -> bool:
    """Whether `written` parses, says something and makes only calls of the table."""
    answer = _parse(written)
    return bool(answer.text) and not any(fault for c in answer.calls for fault in find_faults(c))


def _parse(written: str) -> Answer:
    """The parts of `written`; without text, hence never right, when it cannot be parsed."""
    try:
        return parse_answer(written)
    except ValueError:
        return Answer([], "")
