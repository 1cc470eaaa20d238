import gc
import math
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.engine.engine import Engine
from edge_llm.engine.logits import LogitRow, Workspace
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.statistics import token_statistics
from edge_llm.errors import BackendError, InvalidParameterError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.types import SamplingParams, TokenStatistics

LARGE = 150_000
WORKSPACE = Workspace()


def reference(logits: NDArray[np.float32], token_id: int, num_top: int) -> TokenStatistics:
    """The definitions, the slow way, in float64 over a sorted vocabulary."""
    values = logits.astype(np.float64)
    top = values.max()
    logsumexp = float(top + np.log(np.exp(values - top).sum()))
    order = np.argsort(-values, kind="stable")
    logprobs = values[order] - logsumexp
    possible = int(np.isfinite(logprobs).sum())
    kept = logprobs[: min(num_top, possible)]
    shares = np.exp(kept) / np.exp(kept).sum() if len(kept) else kept
    probabilities = np.exp(np.append(logprobs, -np.inf))
    return TokenStatistics(
        token_id=token_id,
        logprob=float(values[token_id]) - logsumexp,
        logsumexp=logsumexp,
        top_ids=tuple(order[: len(kept)].tolist()),
        top_logprobs=tuple(kept.tolist()),
        margin=float(probabilities[0] - probabilities[1]),
        entropy=-float((shares * np.log(np.maximum(shares, 1e-300))).sum()),
        rank=int(np.flatnonzero(order == token_id)[0]),
        time_s=0.0,
    )


def assert_close(found: TokenStatistics, expected: TokenStatistics) -> None:
    assert found.token_id == expected.token_id
    assert found.top_ids == expected.top_ids
    assert found.rank == expected.rank
    assert found.logsumexp == pytest.approx(expected.logsumexp, rel=1e-5, abs=1e-5)
    assert found.logprob == pytest.approx(expected.logprob, rel=1e-5, abs=1e-5)
    assert found.top_logprobs == pytest.approx(expected.top_logprobs, rel=1e-5, abs=1e-5)
    assert found.margin == pytest.approx(expected.margin, abs=1e-5)
    assert found.entropy == pytest.approx(expected.entropy, abs=1e-5)


def random_row(seed: int, size: int, spread: float, step: float, high: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal(size) * spread
    if step:
        logits = np.round(logits / step) * step
    logits[rng.integers(0, size, high)] += 15.0
    logits[rng.integers(0, size, size // 3)] = -np.inf
    logits[rng.integers(0, size)] = 1.0
    return logits.astype(np.float32)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 3, 63, 64, 65, 500, 2047, 2048, 2049, 5000, 151_936]),
    st.sampled_from([0.0, 0.1, 3.0, 30.0]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0, 1, 50]),
    st.sampled_from([0, 1, 2, 20, 100, 4000]),
    st.floats(0, 1, exclude_max=True),
)
def test_statistics_are_what_float64_over_a_sorted_vocabulary_gives(
    seed: int, size: int, spread: float, step: float, high: int, num_top: int, where: float
) -> None:
    logits = random_row(seed, size, spread, step, high)
    possible = np.flatnonzero(np.isfinite(logits))
    token_id = int(possible[int(where * len(possible))])
    found = token_statistics(LogitRow(logits, WORKSPACE), token_id, num_top)

    assert_close(found, reference(logits, token_id, num_top))


@pytest.mark.parametrize("values", [[5.0, 5.0], [-3.0e38, 5.0], [80.0, -80.0], [-900.0, -901.0]])
def test_two_tokens(values: list[float]) -> None:
    logits = np.array(values, np.float32)

    assert_close(token_statistics(LogitRow(logits), 1, 20), reference(logits, 1, 20))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_a_bad_number_anywhere_is_an_error(bad: float) -> None:
    logits = np.zeros(LARGE, np.float32)
    logits[LARGE - 1] = bad

    with pytest.raises(BackendError, match="not numbers"):
        LogitRow(logits)


def test_the_order_of_asking_makes_no_difference() -> None:
    logits = random_row(3, LARGE, 3.0, 0.5, 20)
    one, other = LogitRow(logits, WORKSPACE), LogitRow(logits, WORKSPACE)
    one.leaders(300)
    one.mass(0.7)

    assert token_statistics(one, one.best_id, 20) == token_statistics(other, one.best_id, 20)


def request(text: str, num_top: int | None = 5, **params: object) -> EngineRequest:
    base = SamplingParams(temperature=0.9, seed=1, max_tokens=8)
    return EngineRequest(
        tuple(text.encode()),
        replace(base, **params),  # type: ignore[arg-type]
        statistics=num_top,
    )


def run(requests: Sequence[EngineRequest]) -> list[list[TokenStatistics | None]]:
    engine = Engine(FakeBackend(capabilities=fake_capabilities(max_num_seqs=8)))
    ids = [engine.add_request(one) for one in requests]
    found: dict[int, list[TokenStatistics | None]] = defaultdict(list)
    while engine.has_work:
        for event in engine.step():
            assert event.error is None
            found[event.request_id] += event.statistics
            for token_id, statistics in zip(event.token_ids, event.statistics, strict=False):
                assert statistics is None or statistics.token_id == token_id
    return [found[request_id] for request_id in ids]


def test_each_token_comes_with_its_statistics_at_any_batch_size() -> None:
    wanted = [request(text, num_top=k) for text, k in [("a", 5), ("bc", 1), ("def", 20)]]
    alone = [run([one])[0] for one in wanted]

    assert run(wanted) == alone
    assert all(alone)
    assert [len(row[0].top_ids) for row in alone if row[0] is not None] == [5, 1, 20]


def test_nothing_is_computed_for_who_does_not_ask() -> None:
    assert run([request("a", None), request("b")])[0] == []


def test_asking_for_statistics_does_not_change_the_tokens() -> None:
    tokens: list[list[int]] = []
    for num_top in (None, 0, 200):
        engine = Engine(FakeBackend())
        engine.add_request(request("abc", num_top, top_k=0, top_p=0.9))
        tokens.append([])
        while engine.has_work:
            tokens[-1] += [token for event in engine.step() for token in event.token_ids]

    assert tokens[0] == tokens[1] == tokens[2]


def test_penalties_and_bias_do_not_show_in_the_statistics() -> None:
    plain, edited = run(
        [
            request("abc", temperature=0.0, max_tokens=1),
            request(
                "abc",
                temperature=0.0,
                max_tokens=1,
                logit_bias={7: 100.0},
                repetition_penalty=2.0,
                presence_penalty=1.0,
            ),
        ]
    )
    assert plain[0] is not None
    assert edited[0] is not None
    assert plain[0].rank == 0
    assert edited[0].token_id == 7
    assert edited[0].rank > 0
    assert edited[0].logprob < plain[0].logprob
    same = {"token_id": 0, "logprob": 0.0, "rank": 0}
    assert replace(edited[0], **same) == replace(plain[0], **same)  # type: ignore[arg-type]


def test_time_moves_on_from_token_to_token() -> None:
    before = time.monotonic()
    times = [s.time_s for s in run([request("a")])[0] if s is not None]
    times = [before, *times, time.monotonic()]

    assert times == sorted(times)


class ForceTwo:
    """A constraint that makes `xy` follow the first token."""

    def __init__(self) -> None:
        self.forced = [ord("x"), ord("y")]

    def start(self) -> "ForceTwo":
        return self

    def advance(self, token_id: int, text: str) -> Sequence[int]:
        forced, self.forced = self.forced, []
        return forced


def test_a_forced_token_has_no_statistics() -> None:
    engine = Engine(FakeBackend())
    engine.add_request(replace(request("abc"), constraint=ForceTwo()))
    event = engine.step()[0]

    assert event.token_ids[1:] == (ord("x"), ord("y"))
    assert event.statistics[0] is not None
    assert event.statistics[1:] == (None, None)


def test_a_watched_token_is_reported_however_unlikely_it_is() -> None:
    wanted = replace(request("a", num_top=256), watched_ids=(3, 255))

    (found,) = run([wanted])

    for one in found:
        assert one is not None
        logprobs = dict(zip(one.top_ids, one.top_logprobs, strict=True))
        assert one.watched_logprobs == pytest.approx((logprobs[3], logprobs[255]))


def test_watching_a_token_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="vocabulary"):
        Engine(FakeBackend()).add_request(replace(request("a", 1), watched_ids=(-1,)))


def test_a_negative_number_of_statistics_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="statistics"):
        Engine(FakeBackend()).add_request(request("a", -1))


class LargeTokenizer(ByteTokenizer):
    def __init__(self) -> None:
        super().__init__()
        self.vocab_size = LARGE

    def token_bytes(self, token_id: int) -> bytes:
        return b"a"


def peaked_row(_: Sequence[int]) -> NDArray[np.float32]:
    return PEAKED


PEAKED = np.random.default_rng(0).standard_normal(LARGE).astype(np.float32)
PEAKED[::5000] += 14.0


class PreparedBackend(FakeBackend):
    """Returns one prepared row, as a view, the way llama.cpp does."""

    def forward(self, batch: object, interrupt: object = None) -> NDArray[np.float32]:
        return PEAKED[None, :]


def reachable(start: object) -> Iterator[object]:
    seen: set[int] = set()
    stack = [start]
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        yield one
        stack += gc.get_referents(one)


def test_nothing_as_long_as_the_vocabulary_is_allocated_or_kept() -> None:
    engine = Engine(PreparedBackend(tokenizer=LargeTokenizer()))
    engine.add_request(request("abc", 20, top_k=0, top_p=0.9, max_tokens=100))
    engine.step()
    engine.step()
    tracemalloc.start()
    events = [event for _ in range(20) for event in engine.step()]
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(events) == 20
    assert kept < LARGE  # bytes, for 20 events
    assert peak < 4 * LARGE / 2  # half of one row of float32
    sequence = engine.scheduler.running[0]
    for root in (sequence, events):
        sizes = [
            one.nbytes if isinstance(one, np.ndarray) else len(one)
            for one in reachable(root)
            if isinstance(one, np.ndarray | tuple | list | dict | bytes)
            and one is not sequence.detokenizer._tokenizer.special_tokens
        ]
        assert max(sizes) < 5000
    assert math.isfinite(events[0].statistics[0].logprob)  # type: ignore[union-attr]
