from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_llm.constrain.mask import TokenMask
from edge_llm.engine import logits as logits_module
from edge_llm.engine import sampler as sampler_module
from edge_llm.engine.logits import LogitRow, Workspace
from edge_llm.engine.sampler import Sampler
from edge_llm.errors import BackendError
from edge_llm.types import SamplingParams

PLAIN = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=7)


def logits_of(*probabilities: float) -> NDArray[np.float32]:
    return np.log(np.array(probabilities, np.float32))


def row_of(values: list[float]) -> LogitRow:
    return LogitRow(np.array(values, np.float32))


def draws(params: SamplingParams, logits: NDArray[np.float32], n: int = 400) -> list[int]:
    sampler = Sampler(params, [])
    workspace = Workspace()
    return [sampler.sample(LogitRow(logits, workspace)) for _ in range(n)]


def allowed(logits: NDArray[np.float32], params: SamplingParams) -> set[int]:
    """The definition of the filters, the slow way, over a sorted vocabulary."""
    order = np.argsort(-logits, kind="stable")
    scaled = logits[order].astype(np.float64) / params.temperature
    if params.top_k:
        order, scaled = order[: params.top_k], scaled[: params.top_k]
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    before = np.concatenate([[0.0], np.cumsum(probabilities)[:-1]])
    keep = (before < params.top_p) & (probabilities >= params.min_p * probabilities[0])
    keep[0] = True
    return {int(token) for token in order[keep]}


@settings(deadline=None)
@given(
    st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=60, unique=True),
    st.floats(0.1, 3.0),
    st.integers(0, 70),
    st.floats(0.05, 1.0),
    st.floats(0.0, 0.5),
)
def test_only_tokens_that_pass_every_filter_are_drawn(
    values: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = np.array(values, np.float32)
    params = replace(PLAIN, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    loose = replace(params, top_p=min(1.0, top_p * (1 + 1e-6)), min_p=min_p * (1 - 1e-6))

    assert set(draws(params, logits, 60)) <= allowed(logits, loose)


def test_frequencies_follow_the_tempered_probabilities() -> None:
    drawn = draws(replace(PLAIN, temperature=0.5), logits_of(0.5, 0.3, 0.2), 4000)
    expected = np.array([0.25, 0.09, 0.04]) / 0.38

    assert np.bincount(drawn, minlength=3) / 4000 == pytest.approx(expected, abs=0.03)


def test_a_flat_distribution_over_a_large_vocabulary_is_drawn_from_everywhere() -> None:
    logits = np.zeros(5000, np.float32)

    assert len(set(draws(replace(PLAIN, top_p=0.9), logits, 500))) > 400


def test_the_same_seed_draws_the_same_tokens_and_another_seed_does_not() -> None:
    logits = np.random.default_rng(0).standard_normal(100).astype(np.float32)

    assert draws(PLAIN, logits) == draws(PLAIN, logits)
    assert draws(PLAIN, logits) != draws(replace(PLAIN, seed=8), logits)


def test_zero_temperature_takes_the_most_likely_token() -> None:
    assert draws(replace(PLAIN, temperature=0.0), logits_of(0.2, 0.5, 0.3), 5) == [1] * 5


def test_repetition_penalty_looks_at_the_prompt_too() -> None:
    params = replace(PLAIN, temperature=0.0, repetition_penalty=5.0)

    assert Sampler(params, [1]).sample(row_of([1.0, 2.0])) == 0
    assert Sampler(params, [1]).sample(row_of([-3.0, -1.0])) == 0


def test_repetition_penalty_forgets_what_left_its_window() -> None:
    sampler = Sampler(
        replace(PLAIN, temperature=0.0, repetition_penalty=5.0, penalty_window=1), [1, 0]
    )

    assert sampler.sample(row_of([1.0, 2.0])) == 1


def test_presence_and_frequency_penalties_count_generated_tokens_only() -> None:
    params = replace(PLAIN, temperature=0.0, presence_penalty=0.5, frequency_penalty=1.0)
    sampler = Sampler(params, [1, 1, 1])
    row = np.array([0.0, 2.0], np.float32)

    assert sampler.sample(LogitRow(row)) == 1
    sampler.accept(1)
    assert sampler.sample(LogitRow(row)) == 1  # 2 - 0.5 - 1 = 0.5
    sampler.accept(1)
    assert sampler.sample(LogitRow(row)) == 0  # 2 - 0.5 - 2 < 0


def test_logit_bias_is_added() -> None:
    params = replace(PLAIN, temperature=0.0, logit_bias={0: 100.0, 2: -100.0})

    assert draws(params, np.array([0.0, 50.0, 120.0], np.float32), 1) == [0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(BackendError, match="not numbers"):
        draws(replace(PLAIN, temperature=temperature), np.full(4, bad, np.float32), 1)


def test_a_masked_token_is_never_drawn() -> None:
    logits = np.array([0.0, -np.inf, 0.0], np.float32)

    assert set(draws(PLAIN, logits)) == {0, 2}


LARGE = 30_000
rows = st.builds(
    lambda *parts: large_row(*parts),  # defined below
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.01, 0.5, 3.0]),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.sampled_from([0, 3, 40, 900]),
    st.sampled_from([0, 10_000]),
)


def large_row(
    seed: int, spread: float, step: float, num_high: int, num_masked: int
) -> NDArray[np.float32]:
    """Flat, peaked, full of ties or partly masked."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal(LARGE) * spread
    if step:
        logits = np.round(logits / step) * step
    logits[rng.choice(LARGE, num_high, replace=False)] += 6.0
    logits[rng.choice(LARGE, num_masked, replace=False)] = -np.inf
    return logits.astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(
    rows,
    st.sampled_from([0.3, 1.0, 2.0]),
    st.sampled_from([0, 1, 40, 500, 2500, 29_999, 50_000]),
    st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
    st.sampled_from([0.0, 0.05, 0.3]),
)
def test_the_filters_keep_the_same_tokens_of_a_large_vocabulary_as_sorting_it_would(
    logits: NDArray[np.float32], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    params = replace(PLAIN, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    # float32 sums may move the border of the nucleus by a token in ten thousand.
    loose = replace(params, top_p=min(1.0, top_p + 1e-5), min_p=min_p * (1 - 1e-5))
    drawn = set(draws(params, logits, 30))

    assert drawn <= allowed(logits, loose)


@pytest.mark.parametrize("top_k", [0, 10_000])
@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_the_whole_of_a_large_nucleus_is_drawn_from(top_k: int, spread: float) -> None:
    logits = large_row(0, spread, 0.0, 0, 0)
    sampler = Sampler(replace(PLAIN, top_k=top_k, top_p=0.8), [])
    workspace = Workspace()
    sampler.sample(LogitRow(logits, workspace))
    kept = set(np.flatnonzero(workspace.weights).tolist())
    tight = allowed(logits, replace(PLAIN, top_k=top_k, top_p=0.8 - 1e-5))
    loose = allowed(logits, replace(PLAIN, top_k=top_k, top_p=0.8 + 1e-5))

    assert len(kept) > 512
    assert tight <= kept <= loose


def test_frequencies_over_a_large_vocabulary_follow_the_probabilities() -> None:
    logits = large_row(1, 1.0, 0.0, 0, 0)
    weights = np.exp(logits.astype(np.float64))
    drawn = np.array(draws(PLAIN, logits, 3000))
    halves = logits > np.log(np.median(weights))

    assert halves[drawn].mean() == pytest.approx(weights[halves].sum() / weights.sum(), abs=0.03)
    assert (drawn < LARGE // 2).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("logits", [large_row(2, 0.5, 0.0, 0, 0), np.zeros(LARGE, np.float32)])
def test_a_flat_vocabulary_is_never_sorted(
    monkeypatch: pytest.MonkeyPatch, logits: NDArray[np.float32]
) -> None:
    sizes: list[int] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            original = getattr(np, name)
            if name not in ("argsort", "sort", "lexsort", "unique"):
                return original

            def counted(values: NDArray[Any], **options: Any) -> Any:
                sizes.append(len(values))
                return original(values, **options)

            return counted

    monkeypatch.setattr(sampler_module, "np", Counting())
    monkeypatch.setattr(logits_module, "np", Counting())
    draws(replace(PLAIN, top_p=0.9), logits, 1)

    assert 0 < max(sizes) <= 4100
    assert sum(sizes) < LARGE / 2


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_few_rounds_find_the_border_where_a_sample_says_nothing(
    monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    rounds: list[int] = []
    make_groups = sampler_module._groups

    def counted(logits: NDArray[np.float32], *pivots: np.float32) -> Any:
        rounds.append(len(logits))
        assert len(rounds) < 20
        return make_groups(logits, *pivots)

    monkeypatch.setattr(sampler_module, "_groups", counted)
    params = replace(PLAIN, temperature=temperature, top_k=2500, top_p=0.9999)
    draws(params, large_row(0, 0.5, 0.0, 0, 0), 1)

    assert rounds


def test_a_token_that_the_model_rules_out_is_not_drawn_from_many() -> None:
    logits = np.full(LARGE, -np.inf, np.float32)
    logits[::7] = 0.0

    assert {token % 7 for token in draws(PLAIN, logits, 200)} == {0}


def test_the_row_of_the_model_is_left_as_it_was() -> None:
    logits = np.array([1.0, 2.0, 3.0], np.float32)
    params = replace(PLAIN, repetition_penalty=2.0, logit_bias={1: 50.0}, top_p=0.5)
    Sampler(params, [0, 1, 2]).sample(LogitRow(logits))

    assert logits.tolist() == [1.0, 2.0, 3.0]


BAD: list[dict[str, Any]] = [
    {"temperature": -1.0},
    {"temperature": float("nan")},
    {"temperature": "hot"},
    {"top_k": -1},
    {"top_k": 1.5},
    {"top_p": 0.0},
    {"top_p": 1.1},
    {"min_p": True},
    {"repetition_penalty": 0.0},
    {"presence_penalty": 3.0},
    {"seed": -1},
    {"max_tokens": 0},
    {"stop": ("",)},
    {"logit_bias": {"a": 1.0}},
    {"logit_bias": {3: 1000.0}},
]


@pytest.mark.parametrize("values", BAD, ids=str)
def test_a_value_outside_its_range_is_named(values: dict[str, Any]) -> None:
    problems = SamplingParams(**values).problems()

    assert len(problems) == 1
    assert next(iter(values)) in problems[0]


def test_the_defaults_are_within_their_ranges() -> None:
    assert SamplingParams().problems() == []


def mask_of(ids: list[int], size: int) -> TokenMask:
    flags = np.zeros(-(-size // 32) * 32, np.bool_)
    flags[ids] = True
    return TokenMask(np.packbits(flags, bitorder="little").view(np.uint32), size)


@settings(deadline=None, max_examples=60)
@given(
    rows,
    st.sampled_from([1, 2, 60, 4096, 4097, LARGE - 1]),
    st.integers(0, 5),
    st.sampled_from([0.3, 1.0, 2.0]),
    st.sampled_from([0, 1, 40, 2500]),
    st.sampled_from([0.05, 0.9, 1.0]),
    st.sampled_from([0.0, 0.3]),
)
def test_under_a_mask_the_filters_see_a_vocabulary_of_the_allowed_tokens_alone(
    logits: NDArray[np.float32],
    num_allowed: int,
    seed: int,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
) -> None:
    ids = np.random.default_rng(seed).choice(LARGE, num_allowed, replace=False)
    mask = mask_of(ids.tolist(), LARGE)
    params = replace(PLAIN, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    loose = replace(params, top_p=min(1.0, top_p + 1e-5), min_p=min_p * (1 - 1e-5))
    sampler, workspace = Sampler(params, []), Workspace()
    masked = np.full(LARGE, -np.inf, np.float32)
    masked[ids] = logits[ids]

    drawn = {sampler.sample(LogitRow(logits, workspace), mask) for _ in range(10)}

    if masked.max() == -np.inf:
        assert drawn == {int(ids.min())}
    else:
        assert drawn <= allowed(masked, loose)


@pytest.mark.parametrize("num_allowed", [3, 5000])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_all_allowed_tokens_are_impossible_the_first_of_them_is_taken(
    num_allowed: int, temperature: float
) -> None:
    logits = np.full(LARGE, -np.inf, np.float32)
    logits[0] = 1.0
    mask = mask_of(list(range(7, 7 + num_allowed)), LARGE)

    assert Sampler(replace(PLAIN, temperature=temperature), []).sample(LogitRow(logits), mask) == 7


def test_a_bias_reaches_the_few_allowed_tokens_that_it_names_and_no_other() -> None:
    logits = np.zeros(LARGE, np.float32)
    mask = mask_of([3, 40, 500], LARGE)
    for biased, expected in (({40: 1.0, 41: 9.0, LARGE - 1: 9.0, 0: 9.0}, 40), ({499: 9.0}, 3)):
        params = replace(PLAIN, temperature=0.0, logit_bias=biased)
        assert Sampler(params, []).sample(LogitRow(logits), mask) == expected
    assert not logits.any()


@pytest.mark.parametrize("num_allowed", [3, 5000])
def test_penalties_and_bias_work_under_a_mask(num_allowed: int) -> None:
    logits = np.zeros(LARGE, np.float32)
    logits[[8, 9, 20_000]] = [3.0, 2.0, 90.0]
    mask = mask_of(list(range(7, 7 + num_allowed)), LARGE)
    params = replace(PLAIN, temperature=0.0, presence_penalty=2.0, logit_bias={7: 0.5, 20_000: 9.0})
    sampler = Sampler(params, [])

    taken = []
    for _ in range(3):
        taken.append(sampler.sample(LogitRow(logits), mask))
        sampler.accept(taken[-1])

    assert taken == [8, 9, 8]
    assert logits[8] == 3.0


@pytest.mark.parametrize("num_allowed", [1, 40, 4096, 5000, 29_999])
def test_the_share_of_the_allowed_tokens_is_their_probability(num_allowed: int) -> None:
    logits = large_row(3, 2.0, 0.0, 5, 100)
    ids = np.random.default_rng(1).choice(LARGE, num_allowed, replace=False)
    weights = np.exp(logits.astype(np.float64))

    row = LogitRow(logits)
    share = row.allowed_share(mask_of(ids.tolist(), LARGE))

    assert share == pytest.approx(weights[ids].sum() / weights.sum(), abs=1e-5)
    assert row.mass(1.0) == pytest.approx(np.exp(logits - logits.max()).sum(), rel=1e-5)
