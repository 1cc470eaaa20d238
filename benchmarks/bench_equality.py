"""How often an answer depends on how its state came about: the engine's ways against the plain one.

Every request is run alone from nothing, and then batched, on a shared prefix, on one restored from
disk, preempted, and parked and resumed, at temperature 0. Each answer that differs is a tie where
the plain run's two largest logits were within 0.01 at the first difference; within the noise where
they were nearer than llama.cpp alone moves them, when it computes the same tokens in pieces and
beside another sequence; and wrong otherwise. The tiny models also run with keys, values and sums in
F32, where the noise is 1e-4 and nothing can hide in it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from benchmarks.random_model import QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus
from edge_llm.engine.request import EngineRequest
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.resolve import BUILTIN_FILE
from edge_llm.types import SamplingParams
from tests.support import equality
from tests.support.gguf_files import write_tiny_model
from tests.support.recurrent_files import RecurrentArch, write_recurrent_model

WIDE, NARROW = 1024, 256
NUM_REQUESTS = 6
SYSTEM = "You are the voice of this house. You answer in one short sentence and never rudely. " * 4
COMMANDS = (
    "turn on the kitchen lights",
    "set the bedroom to 21 degrees and close the blinds",
    "is the garage door open?",
    "who wrote Hamlet?",
    "start a timer for 5 minutes",
    "add milk to the shopping list and turn off the zorblax fan",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One model under one kind of kernels."""

    name: str
    path: Path
    rounds: int
    threads: int = 1
    exact: bool = False
    chats: bool = False
    """Prompts are commands in the chat format, not arbitrary tokens."""


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--rounds", type=int, default=20, help="workloads of six requests")
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(Path(folder), rounds, quick=arguments.quick):
            print(subject.name, file=sys.stderr)
            figures |= measure(subject)
    report("equality", figures, ["llama-cpp-python", "numpy"])


def subjects(folder: Path, rounds: int, *, quick: bool) -> Iterator[Subject]:
    """Tiny models of four kinds, the built-in one, and a random 0.5B."""
    tiny = [write_tiny_model(folder / "llama.gguf", letters=True, context=WIDE)]
    for arch in get_args(RecurrentArch):
        tiny.append(write_recurrent_model(folder / f"{arch}.gguf", arch, context=WIDE))
    for path in tiny:
        yield Subject(f"{path.stem}.f32", path, rounds, exact=True)
        yield Subject(path.stem, path, rounds)
    builtin = models_folder() / BUILTIN_FILE
    yield Subject("builtin", builtin, rounds)
    yield Subject("builtin.chat", builtin, rounds, chats=True)
    if not quick:
        large = cached_model("qwen2-0.5b-q4_0", QWEN2_0_5B)
        yield Subject("random_0.5b", large, max(1, rounds // 10), threads=usable_cpus())


def measure(subject: Subject) -> dict[str, Figure]:
    """Counts for each way, and the noise that they are held against."""
    verdicts = {way: Counter[str]() for way in equality.WAYS}
    drifts: dict[str, list[float]] = {way: [0.0] for way in equality.WAYS}
    with opened(subject, WIDE) as wide, opened(subject, NARROW) as narrow:
        noise = 0.0
        for number in range(subject.rounds):
            requests = make_requests(subject, wide, number)
            texts = [request.token_ids for request in requests]
            noise = max(noise, equality.kernel_noise(wide, texts))
            for way, comparisons in compare(wide, narrow, requests, number).items():
                verdicts[way].update(judge(one, noise) for one in comparisons)
                drifts[way] += [one.drift for one in comparisons]
    figures = {
        f"{subject.name}.kernel_noise": figure([noise], "logits"),
        f"{subject.name}.answers": figure([subject.rounds * NUM_REQUESTS], "a way"),
    }
    for way, counts in verdicts.items():
        name = f"{subject.name}.{way}"
        for verdict in ("tie", "noise"):
            figures[f"{name}.{verdict}"] = figure([counts[verdict]], "answers")
        figures[f"{name}.wrong"] = figure([counts["wrong"]], "answers", goal=0, direction="at_most")
        figures[f"{name}.drift"] = figure([max(drifts[way])], "logits")
    return figures


def compare(
    wide: Backend, narrow: Backend, requests: Sequence[EngineRequest], number: int
) -> dict[str, list[equality.Comparison]]:
    """Each way's answers against the plain ones."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        setting = equality.Setting(wide, narrow, Path(folder))
        rng = random.Random(number)
        expected = equality.plain(setting, requests, rng).answers
        for name, way in equality.WAYS.items():
            answers = way(setting, requests, rng).answers
            found[name] = [equality.compare(*pair) for pair in zip(expected, answers, strict=True)]
    return found


def judge(comparison: equality.Comparison, noise: float) -> str:
    """Same, tie, noise or wrong; two runs may each be off by the noise, so it counts twice."""
    if comparison.gap is None:
        return "same" if comparison.verdict == "same" else "wrong"
    if comparison.verdict == "tie":
        return "tie"
    return "noise" if comparison.gap < 2 * noise else "wrong"


def make_requests(subject: Subject, backend: Backend, number: int) -> list[EngineRequest]:
    """One workload, with a beginning in common."""
    rng = random.Random(number)
    if not subject.chats:
        tokens = range(5, min(backend.tokenizer.vocab_size - 15, 100_000))
        return equality.workload(tokens, rng, NUM_REQUESTS)
    encode = backend.tokenizer.encode
    start, end = (
        next(token.id for token in backend.tokenizer.special_tokens if token.text == text)
        for text in ("<|im_start|>", "<|im_end|>")
    )
    head = (start, *encode("system\n" + SYSTEM))[: equality.PREFIX_LENGTH - 2]
    params = SamplingParams(temperature=0.0, max_tokens=50)
    return [
        EngineRequest(
            (*head, end, *encode("\n"), start, *encode(f"user\n{text} {rng.randint(1, 99)}"), end,
             *encode("\n"), start, *encode("assistant\n")),
            params,
            statistics=2,
        )
        for text in rng.sample(COMMANDS, NUM_REQUESTS)
    ]  # fmt: skip


@contextmanager
def opened(subject: Subject, context: int) -> Iterator[Backend]:
    """A backend with room for all, or for a few; closed on leaving."""
    config = EdgeConfig(
        context_size=context,
        max_num_seqs=4,
        prefix_slots=4 if context == WIDE else 0,
        threads=subject.threads,
        cache_max_mb=0,
    )
    with equality.exact_kernels() if subject.exact else nullcontext():
        backend = load_backend(subject.path, config)
    yield backend
    backend.close()


if __name__ == "__main__":
    main()
