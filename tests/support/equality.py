"""Runs the same requests in every way the engine has, to compare with the plain way.

Plain is one request alone in an engine that has seen nothing. At temperature 0 the answer must be
the same however the state came about. Kernels round, though, and each shape of a batch in its own
way, so on a real backend an answer may part from the plain one where the two largest logits are
nearly equal. How near follows from the kernels alone: `exact_kernels` leave 1e-4, llama.cpp's
defaults as much as `kernel_noise` measures.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.llama_cpp.native import load_library
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.scheduler import SchedulerStats
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.types import SamplingParams

TIE = 0.01
"""Logits nearer to each other than this may change places when rows are batched."""
PREFIX_LENGTH = 80
"""Tokens that all prompts of a workload begin with: enough to be worth a snapshot."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was generated, and how sure the choice of each token was."""

    token_ids: tuple[int, ...] = ()
    gaps: tuple[float, ...] = ()
    """Distance between the two largest logits, by token."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an answer relates to the plain one."""

    verdict: Literal["same", "tie", "different"]
    num_tokens: int
    """Tokens that agree."""
    drift: float
    """Largest difference between the two answers' gaps, over the tokens that agree."""
    gap: float | None = None
    """Where they part: distance between the two largest logits of the plain run."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a workload runs."""

    backend: Backend
    narrow: Backend
    """The same model with too few cells for all sequences."""
    folder: Path
    """For snapshots; empty."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answers of one way, and what the engine counted."""

    answers: list[Answer]
    stats: SchedulerStats


Way: TypeAlias = Callable[[Setting, Sequence[EngineRequest], random.Random], Outcome]


def workload(tokens: Sequence[int], rng: random.Random, count: int) -> list[EngineRequest]:
    """Requests of 90 to 120 arbitrary `tokens`, the first 80 in common, for 10 to 50 more."""
    prefix = rng.choices(tokens, k=PREFIX_LENGTH)
    return [
        EngineRequest(
            (*prefix, *rng.choices(tokens, k=rng.randint(10, 40))),
            SamplingParams(temperature=0.0, max_tokens=rng.randint(10, 50)),
            statistics=2,
        )
        for _ in range(count)
    ]


def plain(setting: Setting, requests: Sequence[EngineRequest], rng: random.Random) -> Outcome:
    """Each request on its own, from nothing."""
    answers = []
    for request in requests:
        with _engine(setting.backend) as engine:
            answers += _answers(engine, [request])
    return Outcome(answers, SchedulerStats())


def batched(setting: Setting, requests: Sequence[EngineRequest], rng: random.Random) -> Outcome:
    """All at once; their common beginning is not reused, because none of them has ended."""
    with _engine(setting.backend) as engine:
        return Outcome(_answers(engine, requests), engine.scheduler.stats)


def shared(setting: Setting, requests: Sequence[EngineRequest], rng: random.Random) -> Outcome:
    """All at once, on the state of a common beginning that was computed before."""
    with _engine(setting.backend) as engine:
        _answers(engine, [_prefix_of(requests)])
        return Outcome(_answers(engine, requests), engine.scheduler.stats)


def restored(setting: Setting, requests: Sequence[EngineRequest], rng: random.Random) -> Outcome:
    """All at once, by a new engine that finds the common beginning on disk."""
    with _engine(setting.backend, setting.folder) as engine:
        _answers(engine, [_prefix_of(requests)])
    with _engine(setting.backend, setting.folder) as engine:
        return Outcome(_answers(engine, requests), engine.scheduler.stats)


def preempted(setting: Setting, requests: Sequence[EngineRequest], rng: random.Random) -> Outcome:
    """All at once where they do not fit, so that some are thrown out and start again."""
    with _engine(setting.narrow) as engine:
        return Outcome(_answers(engine, requests), engine.scheduler.stats)


def parked(setting: Setting, requests: Sequence[EngineRequest], rng: random.Random) -> Outcome:
    """All at once, each set aside now and then while the others go on."""
    with _engine(setting.backend) as engine:
        aside: list[int] = []

        def disturb(ids: Sequence[int]) -> None:
            if rng.random() < 0.3:
                aside.append(rng.choice(ids))
                engine.park(aside[-1])
            if aside and (rng.random() < 0.3 or not engine.has_work):
                engine.resume(aside.pop(rng.randrange(len(aside))))

        return Outcome(_answers(engine, requests, disturb), engine.scheduler.stats)


WAYS: dict[str, Way] = {way.__name__: way for way in (batched, shared, restored, preempted, parked)}


def compare(expected: Answer, got: Answer, tie: float = TIE) -> Comparison:
    """How far two answers agree, and whether they part where the gap is less than `tie`."""
    pairs = zip(expected.token_ids, got.token_ids, strict=False)
    split = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    num_tokens = min(len(expected.token_ids), len(got.token_ids)) if split is None else split
    differences = np.subtract(expected.gaps[:num_tokens], got.gaps[:num_tokens])
    drift = float(np.abs(differences).max(initial=0.0))
    if split is None:
        same = len(expected.token_ids) == len(got.token_ids)
        return Comparison("same" if same else "different", num_tokens, drift)
    gap = expected.gaps[split]
    return Comparison("tie" if gap < tie else "different", split, drift, gap)


def kernel_noise(backend: Backend, texts: Sequence[Sequence[int]], piece: int = 16) -> float:
    """What the kernels alone do to a gap: tokens at once, against the same in pieces, no engine.

    Beside each piece goes one of another sequence, so that cells are in another order as well.
    """
    worst = 0.0
    for tokens in texts:
        alone = _gaps(backend, tokens, backend.capabilities.max_num_batched_tokens, (0,))
        beside = _gaps(backend, tokens, piece, (0, 1))
        worst = max(worst, float(np.abs(alone - beside).max()))
    return worst


def _gaps(
    backend: Backend, tokens: Sequence[int], piece: int, seq_ids: Sequence[int]
) -> NDArray[np.float32]:
    """Distance between the two largest logits after each token of the last sequence."""
    gaps = []
    for begin in range(0, len(tokens), piece):
        part = tokens[begin : begin + piece]
        rows = backend.forward([BatchItem(i, begin, part, len(part)) for i in seq_ids])
        top = np.partition(rows[-len(part) :], rows.shape[1] - 2, axis=1)[:, -2:]
        gaps.append(top[:, 1] - top[:, 0])
    for seq_id in seq_ids:
        backend.free(seq_id)
    return np.concatenate(gaps)


@contextmanager
def exact_kernels() -> Iterator[None]:
    """Let contexts that are opened meanwhile keep keys and values in F32, and sum in F32.

    llama.cpp's defaults keep them in F16, and below 64 tokens flash attention sums in F16 as well,
    in the order of the cells. That moves logits by hundredths, and would hide small mistakes.
    """
    library = load_library()
    defaults = library.llama_context_default_params

    def in_f32() -> Any:
        params = defaults()
        params.flash_attn_type = 0
        params.type_k = params.type_v = 0
        return params

    library.llama_context_default_params = in_f32  # type: ignore[attr-defined]
    try:
        yield
    finally:
        library.llama_context_default_params = defaults  # type: ignore[attr-defined]


@contextmanager
def _engine(backend: Backend, folder: Path | None = None) -> Iterator[Engine]:
    """An engine on an empty backend, which is given back empty."""
    store = None
    if folder is not None:
        store = SnapshotStore(folder, "equality", max_bytes=10**9, max_daily_write_bytes=10**9)
    engine = Engine(backend, store)
    yield engine
    engine.scheduler.check_integrity()
    if engine.disk is not None:
        engine.disk.close()
    engine.scheduler.cache.unpin()
    engine.clear_prefix_cache()
    assert engine.scheduler.num_used_cells == 0
    assert not any(map(backend.length, range(backend.capabilities.num_seq_ids)))


def _prefix_of(requests: Sequence[EngineRequest]) -> EngineRequest:
    token_ids = requests[0].token_ids[:PREFIX_LENGTH]
    return EngineRequest(token_ids, requests[0].params, prefill_only=True, pinned=True)


def _answers(
    engine: Engine,
    requests: Sequence[EngineRequest],
    disturb: Callable[[Sequence[int]], None] = lambda ids: None,
) -> list[Answer]:
    """Run requests to their end; `disturb` is called before each step with those unfinished."""
    ids = [engine.add_request(request) for request in requests]
    found = dict.fromkeys(ids, Answer())
    unfinished = list(ids)
    while unfinished:
        disturb(unfinished)
        for event in engine.step():
            found[event.request_id] = _extend(found[event.request_id], event)
            if event.is_last:
                unfinished.remove(event.request_id)
        engine.scheduler.check_integrity()
    return [found[request_id] for request_id in ids]


def _extend(answer: Answer, event: SequenceEvent) -> Answer:
    assert event.error is None, event.error
    gaps = []
    for token in event.statistics:
        assert token is not None, "no token is forced here"
        gaps.append(token.top_logprobs[0] - token.top_logprobs[1])
    return Answer(answer.token_ids + event.token_ids, answer.gaps + tuple(gaps))
