"""What the built-in model says to thousands of generated sentences, with every signal; on disk.

Sentences are drawn from the grammar with a seed that training never had: its test lines, clean and
with word errors, and the test lines of what it should hand on. An answer to one of those is wrong
whatever it says; one to a command is right when every call and slot is.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGMLQuantizationType as Kind

from edge_llm.config import ConfidenceConfig, EdgeConfig, cache_folder, load_config
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.graders import create_grader
from edge_llm.evaluate.recording import Recording
from edge_llm.evaluate.replay.asking import Manner
from edge_llm.evaluate.replay.journal import open_journal
from edge_llm.evaluate.replay.run import Run, grade_all, record
from edge_llm.evaluate.replay.session import open_session
from edge_llm.hub.fingerprint import content_fingerprint
from edge_llm.hub.packaged import models_folder
from scripts.builtin.conversations import Conversation
from scripts.builtin.evaluate import AT_ONCE, SUITES, to_asked
from scripts.builtin.generator import Generator
from scripts.builtin.gguf_copy import copy_gguf

BUILTIN = models_folder() / "builtin"
HOME, NOISY, ELSEWHERE = "home", "noisy home", "out of domain"
SETS = {
    HOME: SUITES["test patterns"],
    NOISY: SUITES["test patterns, 15 % word errors"],
    ELSEWHERE: SUITES["out of scope, test lines"],
}
MAX_TOKENS = 320
Sets = dict[str, list[Recording]]


@dataclass(frozen=True, slots=True)
class Model:
    """A file of the built-in model."""

    name: str
    path: Path


def models(folder: Path) -> list[Model]:
    """The shipped files, and Q4_0 made of the f16 one, in `folder`."""
    f16 = BUILTIN / "edge-llm-builtin-f16.gguf"
    q4_0 = folder / f"builtin-q4_0-{content_fingerprint(f16)[:16]}.gguf"
    if not q4_0.exists():
        partial = q4_0.with_suffix(".partial")
        copy_gguf(f16, partial, Kind.Q4_0)
        partial.replace(q4_0)
    q8_0 = Model("Q8_0", BUILTIN / "edge-llm-builtin-q8_0.gguf")
    return [q8_0, Model("f16", f16), Model("Q4_0", q4_0)]


def default_folder() -> Path:
    """Where recordings are kept between runs."""
    folder = cache_folder(load_config()).parent / "confidence-benchmark"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def record_sets(model: Model, count: int, seed: int, folder: Path) -> Sets:
    """`count` different sentences of each set, answered; those known from before are not asked."""
    return asyncio.run(_record_sets(model, count, seed, folder))


async def _record_sets(model: Model, count: int, seed: int, folder: Path) -> Sets:
    config = EdgeConfig(
        model=str(model.path),
        threads=1,
        max_num_seqs=AT_ONCE,
        cache_max_mb=0,
        prefix_slots=0,
        confidence=ConfidenceConfig(self_certainty=True),
    )
    path = folder / f"{content_fingerprint(model.path)[:16]}.sqlite"
    found: Sets = {}
    with open_journal(path) as journal:
        async with open_session(config, Manner(MAX_TOKENS, temperature=0.0)) as session:
            for name in SETS:
                started = time.monotonic()
                examples = draw(name, count, seed)
                side = session.local_side()
                await Run(journal, [side]).answer_all(examples)
                grades = await grade_all(journal, examples, side.answers, None)
                found[name] = record(examples, side.answers, grades, {}, {})
                right = sum(one.local_correct for one in found[name])
                print(
                    f"{model.name}, {name}: {right:.0f} of {len(found[name])} right,"
                    f" {time.monotonic() - started:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    return found


def draw(name: str, count: int, seed: int) -> list[Example]:
    """Sentences of one set, each once."""
    conversations = iter(Generator(f"confidence/{seed}/{name}", SETS[name]))
    distinct = _distinct(_to_example(one, name) for one in conversations)
    return list(itertools.islice(distinct, count))


def _distinct(examples: Iterable[Example]) -> Iterable[Example]:
    seen = set()
    for example in itertools.islice(examples, 400_000):
        if example.key not in seen:
            seen.add(example.key)
            yield example


def _to_example(conversation: Conversation, name: str) -> Example:
    asked = to_asked(conversation)
    options: dict[str, Any] = {"tools": list(asked.tools)} if asked.tools else {}
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in
             conversation.messages[-1].calls]  # fmt: skip
    # Out of domain no answer serves: a reference that nothing meets.
    grader = (
        create_grader("exact", "\x00", {})
        if name == ELSEWHERE
        else create_grader("tool_calls", calls, {"ordered": True})
    )
    messages = tuple(dict(message) for message in asked.messages)
    one = Example("", messages, 0, grader, options=options, task=name)
    key = hashlib.sha256(f"{name} {one.key}".encode()).hexdigest()[:20]
    return Example(key, messages, 0, grader, options=options, task=name)
