import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.engine.engine import Engine
from edge_llm.engine.prefix_cache import Eviction, PrefixCache
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.types import SamplingParams

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=10)


def num_common(left: Sequence[int], right: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
                min(len(left), len(right)))  # fmt: skip


def freed(eviction: Eviction | None) -> tuple[int, int] | None:
    return None if eviction is None else (eviction.seq_id, eviction.keep)


def keep(cache: PrefixCache, ids: Sequence[int], seq_id: int) -> bool:
    """Insert a sequence as one that shared what it could."""
    match = cache.match_prefix([*ids, 9])
    kept = cache.insert_prefix(ids, seq_id, num_shared=match.num_tokens if match else 0)
    if match:
        cache.release(match.node)
    return kept


@given(st.lists(tokens, max_size=12), tokens)
def test_the_longest_common_prefix_is_found_and_one_token_left_over(
    kept: list[list[int]], prompt: list[int]
) -> None:
    cache = PrefixCache(can_truncate=True)
    entries: dict[int, list[int]] = {}
    for seq_id, ids in enumerate(kept):
        keep(cache, ids, seq_id)
        entries[seq_id] = ids
        cache.check_integrity()

    match = cache.match_prefix(prompt)

    expected = max((num_common(ids, prompt[:-1]) for ids in kept), default=0)
    assert (match.num_tokens if match else 0) == expected
    if match:
        assert entries[cache.holder(match.node)][:expected] == prompt[:expected]
    cache.check_integrity()


@given(st.lists(tokens, max_size=12), tokens)
def test_state_that_cannot_be_rolled_back_is_used_only_where_it_ends(
    kept: list[list[int]], prompt: list[int]
) -> None:
    cache = PrefixCache(can_truncate=False)
    kept = [ids for seq_id, ids in enumerate(kept) if keep(cache, ids, seq_id)]

    match = cache.match_prefix(prompt)

    whole = [len(ids) for ids in kept if ids == prompt[: len(ids)] and len(ids) < len(prompt)]
    assert (match.num_tokens if match else 0) == max(whole, default=0)
    if match:
        assert cache.holder(match.node) == match.node.seq_id


def test_a_known_sequence_is_not_kept_twice() -> None:
    cache = PrefixCache(can_truncate=True)

    assert cache.insert_prefix([1, 2, 3], 0, num_shared=0)
    assert not cache.insert_prefix([1, 2, 3], 1, num_shared=0)
    assert not cache.insert_prefix([1, 2], 2, num_shared=0)
    assert cache.num_cells == 3


def test_the_entry_used_longest_ago_goes_first() -> None:
    cache = PrefixCache(can_truncate=True)
    for seq_id, ids in enumerate([[1, 1], [2, 2], [3, 3]]):
        cache.insert_prefix(ids, seq_id, num_shared=0)
    match = cache.match_prefix([1, 1, 9])
    assert match
    cache.release(match.node)

    order = [cache.evict() for _ in range(4)]

    assert [e.seq_id if e else None for e in order] == [1, 2, 0, None]
    assert cache.num_cells == 0


def test_an_entry_in_use_is_cut_down_to_what_is_used() -> None:
    cache = PrefixCache(can_truncate=True)
    cache.insert_prefix([1, 2, 3, 4], 7, num_shared=0)
    match = cache.match_prefix([1, 2, 9])
    assert match

    assert freed(cache.evict()) == (7, 2)
    assert cache.num_cells == 2
    assert cache.evict() is None
    cache.check_integrity()
    cache.release(match.node)
    assert freed(cache.evict()) == (7, 0)


@pytest.mark.parametrize("can_truncate", [True, False])
def test_an_eviction_says_which_state_goes_with_it(can_truncate: bool) -> None:
    cache = PrefixCache(can_truncate=can_truncate)
    keep(cache, (1, 2), 1)
    keep(cache, (1, 2, 3, 4), 2)

    inner, leaf = cache.evict_inner(), cache.evict()

    assert inner is not None
    assert leaf is not None
    assert inner.tokens == (() if can_truncate else (1, 2))
    assert leaf.tokens == (1, 2, 3, 4)


def test_a_pinned_prefix_stays() -> None:
    cache = PrefixCache(can_truncate=True)
    cache.insert_prefix([1, 2], 0, num_shared=0, pinned=True)
    cache.insert_prefix([1, 2, 3], 1, num_shared=2)

    assert freed(cache.evict()) == (1, 0)
    assert cache.evict() is None
    assert cache.num_cells == 2


class Workload:
    """Prompts that begin with one of a few system prompts, as a voice assistant sees them."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._systems = [bytes(rng.choices(b"abc", k=rng.randint(5, 40))) for _ in range(3)]

    def request(self) -> EngineRequest:
        rng = self._rng
        prompt = rng.choice(self._systems) + bytes(rng.choices(b"xyz", k=rng.randint(1, 20)))
        params = SamplingParams(
            temperature=rng.choice([0.0, 1.0]),
            seed=rng.randint(0, 3),
            max_tokens=rng.randint(1, 25),
        )
        return EngineRequest(tuple(prompt), params)


def answers(engine: Engine, requests: Sequence[EngineRequest], rng: random.Random) -> list[object]:
    outputs: dict[int, tuple[int, ...]] = {}
    order = []
    waiting = list(requests)
    num_steps = 0
    while waiting or engine.has_work:
        num_steps += 1
        assert num_steps < 5000, "the engine makes no progress"
        while waiting and rng.random() < 0.4:
            order.append(engine.add_request(waiting.pop(0)))
            outputs[order[-1]] = ()
        for event in engine.step():
            assert event.error is None
            outputs[event.request_id] += event.token_ids
        assert isinstance(engine.backend, FakeBackend)
        limits = engine.backend.capabilities
        if limits.can_share_prefix and limits.can_truncate:
            assert engine.scheduler.num_used_cells == engine.backend.num_used_cells
        elif limits.can_share_prefix:
            assert engine.scheduler.num_used_cells >= engine.backend.num_used_cells
        engine.scheduler.check_integrity()
    return [outputs[request_id] for request_id in order]


@settings(deadline=None, max_examples=60)
@given(
    st.randoms(use_true_random=False),
    st.integers(1, 4),
    st.integers(0, 5),
    st.sampled_from([100, 150, 400]),
    st.booleans(),
    st.booleans(),
)
def test_reused_state_changes_no_answer_and_cells_are_never_undercounted(
    rng: random.Random,
    max_num_seqs: int,
    num_prefix_slots: int,
    num_kv_cells: int,
    can_truncate: bool,
    can_share_prefix: bool,
) -> None:
    capabilities = fake_capabilities(
        max_model_len=100,
        max_num_seqs=max_num_seqs,
        num_prefix_slots=num_prefix_slots,
        num_kv_cells=num_kv_cells if can_share_prefix else 100 * (max_num_seqs + num_prefix_slots),
        max_num_batched_tokens=16,
        can_truncate=can_truncate,
        can_share_prefix=can_share_prefix,
    )
    workload = Workload(rng)
    requests = [workload.request() for _ in range(12)]

    engine = Engine(FakeBackend(capabilities=capabilities))
    got = answers(engine, requests, rng)

    alone = [answers(Engine(FakeBackend()), [request], rng)[0] for request in requests]
    assert got == alone


def run(engine: Engine, request: EngineRequest) -> int | None:
    engine.add_request(request)
    cached = None
    while engine.has_work:
        for event in engine.step():
            if event.is_last:
                cached = event.num_cached_tokens
    return cached


GREEDY = SamplingParams(temperature=0.0, max_tokens=4)


def test_a_second_question_finds_the_first_ones_beginning() -> None:
    engine = Engine(FakeBackend())

    assert run(engine, EngineRequest(tuple(b"be kind. hello"), GREEDY)) == 0
    assert run(engine, EngineRequest(tuple(b"be kind. goodbye"), GREEDY)) == 9
    assert run(engine, EngineRequest(tuple(b"be kind. hello"), GREEDY)) == 13
    assert engine.scheduler.stats.prompt_tokens == 14 + 16 + 14
    assert engine.scheduler.stats.cached_tokens == 9 + 13


LONG = tuple(b"you are the voice of this house, and you are never rude: ")


class CountingBackend(FakeBackend):
    """Counts the tokens that go through the model."""

    num_tokens = 0

    def forward(self, batch: Any, interrupt: Any = None) -> Any:
        self.num_tokens += sum(len(item.token_ids) for item in batch)
        return super().forward(batch, interrupt)


def test_requests_that_come_together_compute_their_common_beginning_once() -> None:
    backend = CountingBackend()
    engine = Engine(backend)
    for question in (b"hello", b"good night", b"goodbye", b"help"):
        engine.add_request(EngineRequest((*LONG, *question), GREEDY))
    cached = []
    while engine.has_work:
        cached += [e.num_cached_tokens for e in engine.step() if e.is_last]
        engine.scheduler.check_integrity()

    assert sorted(c or 0 for c in cached) == [0, *[len(LONG)] * 2, len(LONG) + len(b"hel")]
    assert backend.num_tokens < 2 * len(LONG) + 50


def test_a_request_finds_the_prompt_of_one_that_still_speaks() -> None:
    engine = Engine(FakeBackend())
    engine.add_request(EngineRequest(LONG, replace(GREEDY, max_tokens=50)))
    engine.step()
    request_id = engine.add_request(EngineRequest((*LONG, *b"hello"), GREEDY))

    ends: list[SequenceEvent] = []
    while len(ends) < 1:
        ends += [e for e in engine.step() if e.is_last]

    assert (ends[0].request_id, ends[0].num_cached_tokens) == (request_id, len(LONG))


def test_who_waits_for_a_prompt_goes_on_when_that_request_ends_early() -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(max_num_batched_tokens=8)))
    first = engine.add_request(EngineRequest(LONG, GREEDY))
    engine.add_request(EngineRequest((*LONG, *b"hello"), GREEDY))
    engine.step()

    engine.abort(first)

    assert sum(event.is_last for _ in range(100) for event in engine.step()) == 1


def test_without_slots_nothing_is_kept() -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(num_prefix_slots=0)))

    run(engine, EngineRequest(tuple(b"hello"), GREEDY))

    assert run(engine, EngineRequest(tuple(b"hello"), GREEDY)) == 0


def test_a_pinned_prefix_outlives_a_flood() -> None:
    capabilities = fake_capabilities(max_model_len=64, num_kv_cells=64)
    engine = Engine(FakeBackend(capabilities=capabilities))
    system = tuple(b"be kind. ")
    run(engine, EngineRequest(system, GREEDY, prefill_only=True, pinned=True))
    for index in range(30):
        run(engine, EngineRequest(tuple(f"{index} is a number".encode()), GREEDY))

    assert run(engine, EngineRequest((*system, *b"hello"), GREEDY)) == len(system)


@pytest.mark.parametrize("can_truncate", [True, False])
def test_the_next_turn_of_a_conversation_computes_only_what_is_new(can_truncate: bool) -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(can_truncate=can_truncate)))
    first = tuple(b"user: hello assistant: ")
    engine.add_request(EngineRequest(first, GREEDY))
    said: tuple[int, ...] = ()
    while engine.has_work:
        said += tuple(t for event in engine.step() for t in event.token_ids)

    cached = run(engine, EngineRequest((*first, *said, *b" user: bye"), GREEDY))

    # The last token said has not been through the model.
    assert cached == len(first) + len(said) - 1


@pytest.mark.parametrize("can_truncate", [True, False])
def test_conversations_that_begin_alike_are_each_continued(can_truncate: bool) -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(can_truncate=can_truncate)))
    system = tuple(b"be kind. ")
    for name in (b"ann", b"bob"):
        run(engine, EngineRequest((*system, *name), GREEDY, prefill_only=True))

    for name in (b"ann", b"bob"):
        assert run(engine, EngineRequest((*system, *name, *b" again"), GREEDY)) == len(system) + 3


@pytest.mark.parametrize("can_truncate", [True, False])
def test_a_prefix_can_be_pinned_after_a_conversation_began_with_it(can_truncate: bool) -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(can_truncate=can_truncate)))
    system = tuple(b"be kind. ")
    run(engine, EngineRequest((*system, *b"hello"), GREEDY))
    run(engine, EngineRequest(system, GREEDY, prefill_only=True, pinned=True))

    engine.clear_prefix_cache()

    assert run(engine, EngineRequest((*system, *b"bye"), GREEDY)) == len(system)


def test_a_pinned_prefix_gives_way_before_a_request_would_wait_for_ever() -> None:
    capabilities = fake_capabilities(max_model_len=64, num_kv_cells=64)
    engine = Engine(FakeBackend(capabilities=capabilities))
    run(engine, EngineRequest((65,) * 40, GREEDY, prefill_only=True, pinned=True))
    engine.add_request(EngineRequest((66,) * 50, GREEDY))

    for _ in range(100):
        if any(event.is_last for event in engine.step()):
            break
    else:
        pytest.fail("the request never ended")


def test_more_pinned_prefixes_than_ids_still_leave_one_for_a_request() -> None:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(max_num_seqs=1, num_prefix_slots=2)))
    for token in range(65, 75):
        run(engine, EngineRequest((token,) * 8, GREEDY, prefill_only=True, pinned=True))

    engine.add_request(EngineRequest((80,) * 8, GREEDY))
    ended = any(event.is_last for _ in range(50) for event in engine.step())

    assert ended
