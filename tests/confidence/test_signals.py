"""Every signal against values worked out by hand, and against its formula over a whole answer."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.base import DraftState, Score
from edge_llm.confidence.features import FeatureTracker
from edge_llm.confidence.signals.registry import SIGNALS
from edge_llm.confidence.signals.worst_window import WINDOW
from edge_llm.types import FinishReason, TokenStatistics


def token(
    probabilities: Sequence[float] = (0.5, 0.25, 0.125),
    chosen: int = 0,
    watched: tuple[float, ...] = (),
    masked: float = 0.0,
    certainty: float | None = None,
) -> TokenStatistics:
    """A token chosen from tokens 0, 1, … with these probabilities; a chosen one may be unlisted."""
    logs = [math.log(p) for p in probabilities]
    total = sum(probabilities)
    shares = [p / total for p in probabilities]
    return TokenStatistics(
        token_id=chosen,
        logprob=logs[chosen] if chosen < len(logs) else -20.0,
        logsumexp=0.0,
        top_ids=tuple(range(len(logs))),
        top_logprobs=tuple(logs),
        margin=probabilities[0] - probabilities[1],
        entropy=-sum(q * math.log(q) for q in shares),
        rank=chosen,
        time_s=0.0,
        watched_logprobs=watched,
        masked_mass=masked,
        self_certainty=certainty,
    )


def measure(name: str, *tokens: TokenStatistics | None, text: str = "x") -> float | None:
    tracker = FeatureTracker()
    for one in tokens:
        tracker.add([one], text)
    return tracker.value(name)


SURE, EVEN = token((0.98, 0.01, 0.005)), token((0.4, 0.4, 0.2), chosen=1)


def test_quantiles_of_log_probability_take_the_nearest_rank() -> None:
    tokens = [token((p, 0.001, 0.0001)) for p in (0.9, 0.1, 0.5, 0.7, 0.3, 0.2, 0.8, 0.6)]

    assert measure("min_logprob", *tokens) == pytest.approx(math.log(0.1))
    assert measure("low_logprob", *tokens) == pytest.approx(math.log(0.1))  # floor(0.8) = 0
    assert measure("q25_logprob", *tokens) == pytest.approx(math.log(0.3))  # floor(2.0) = 2


def test_the_margin_is_averaged() -> None:
    assert measure("mean_margin", SURE, EVEN) == pytest.approx((0.97 + 0.0) / 2)


def test_the_worst_window_is_that_of_the_flattest_tokens() -> None:
    flat, sharp = token((0.4, 0.3, 0.3)), token((0.9, 0.01, 0.01))
    low, high = (-sum(one.top_logprobs) / 3 for one in (flat, sharp))

    assert measure("worst_window", flat, sharp) == pytest.approx((low + high) / 2)
    answer = [sharp] * WINDOW + [flat] * WINDOW + [sharp] * WINDOW
    assert measure("worst_window", *answer) == pytest.approx(low)
    assert measure("worst_window", *answer[: WINDOW + 1]) == pytest.approx(
        (high * (WINDOW - 1) + low) / WINDOW
    )


def test_the_entropy_of_the_first_token_with_content_counts() -> None:
    tracker = FeatureTracker()
    tracker.add([EVEN], " ")
    assert tracker.value("first_entropy") is None
    tracker.add([token((0.25, 0.25, 0.25, 0.25))], "Paris")
    assert tracker.value("first_entropy") == pytest.approx(0.0)
    tracker.add([SURE], " it")
    assert tracker.value("first_entropy") == pytest.approx(0.0)


def test_an_opening_phrase_is_not_the_answer() -> None:
    tracker = FeatureTracker()
    for piece in ("The", " answer", " is"):
        tracker.add([EVEN], piece)
    tracker.add([SURE], " 42")

    assert tracker.value("first_entropy") == pytest.approx(1.0 - SURE.entropy / math.log(3))


def test_the_change_of_decision_entropy_is_that_against_the_best_rival() -> None:
    def entropy(p: float, q: float) -> float:
        share = p / (p + q)
        return -share * math.log(share) - (1 - share) * math.log(1 - share)

    tokens = [SURE, EVEN, token((0.9, 0.05), chosen=1)]
    found = [entropy(0.98, 0.01), entropy(0.4, 0.4), entropy(0.05, 0.9)]
    changes = np.abs(np.diff(found))

    assert found[1] == pytest.approx(math.log(2))
    assert measure("max_entropy_change", *tokens) == pytest.approx(changes.max())
    assert measure("mean_entropy_change", *tokens) == pytest.approx(changes.mean())
    assert measure("max_entropy_change", SURE) is None


def test_a_token_beyond_the_listed_ones_has_the_likeliest_as_its_rival() -> None:
    assert measure("max_entropy_change", SURE, token((0.6, 0.3), chosen=7)) == pytest.approx(
        -0.98 / 0.99 * math.log(0.98 / 0.99) - 0.01 / 0.99 * math.log(0.01 / 0.99), abs=1e-6
    )


def test_the_alternatives_are_those_that_were_not_chosen() -> None:
    assert measure("alternatives_entropy", token((0.6, 0.2, 0.2))) == pytest.approx(math.log(2))
    assert measure("alternatives_entropy", token((0.6, 0.4), chosen=0)) is None
    ninth = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert measure("alternatives_entropy", token((0.45, 0.5, 0.05), 1)) == pytest.approx(ninth)


def test_self_certainty_and_removed_mass_are_averaged_over_chosen_tokens() -> None:
    tokens = [token(masked=0.5, certainty=4.0), None, token(masked=0.1, certainty=8.0)]

    assert measure("self_certainty", *tokens) == pytest.approx(6.0)
    assert measure("self_certainty", token()) is None
    assert measure("mean_removed_mass", *tokens) == pytest.approx(0.3)
    assert measure("max_removed_mass", *tokens) == pytest.approx(0.5)


def test_the_unsure_token_counts_at_the_first_token_alone() -> None:
    sure_later = [token(watched=(math.log(0.9),)), token(watched=(math.log(0.001),))]

    assert measure("unsure_token", *sure_later) == pytest.approx(0.1)
    assert measure("unsure_token", token(), *sure_later) is None


def test_a_forced_first_token_tells_nothing_of_doubt() -> None:
    tracker = FeatureTracker()
    tracker.add([None, token(watched=(math.log(0.001),))])
    tracker.add([token(watched=(math.log(0.001),))])

    assert tracker.score("unsure_token") is None
    assert tracker.score("low_logprob") is not None


@pytest.mark.parametrize(
    ("name", "draft", "expected"),
    [
        ("num_tokens", DraftState(num_tokens=6), math.log(7)),
        ("is_truncated", DraftState(), None),
        ("is_truncated", DraftState(finish_reason="length"), 1.0),
        ("is_truncated", DraftState(finish_reason="stop"), 0.0),
        ("is_valid", DraftState(is_valid=False), 0.0),
        ("is_empty", DraftState(is_empty=True), 1.0),
        ("is_looping", DraftState(is_looping=False), 0.0),
        ("has_calls", DraftState(num_calls=3), 1.0),
        ("has_calls", DraftState(), None),
        ("prompt_tokens", DraftState(prompt_tokens=0), 0.0),
        ("query_prior", DraftState(query_prior=0.7), 0.7),
        ("answer_prior", DraftState(answer_prior=0.6), 0.6),
        ("verbalised", DraftState(verbalised=0.8), 0.8),
        ("p_true", DraftState(p_true=0.3), 0.3),
        ("sample_agreement", DraftState(sample_agreement=0.5), 0.5),
        ("model_agreement", DraftState(), None),
    ],
)
def test_what_is_known_of_the_draft_is_read(
    name: str, draft: DraftState, expected: float | None
) -> None:
    assert FeatureTracker().value(name, draft) == expected


def test_a_score_at_the_threshold_is_kept() -> None:
    assert not Score(0.5, "x", 0.5).is_low
    assert Score(0.49, "x", 0.5).is_low
    assert Score(0.49, "x", 0.5, confidence=0.4).is_calibrated


@st.composite
def statistics(draw: st.DrawFn) -> TokenStatistics:
    logits = np.array(draw(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20)))
    logs = np.sort(logits - np.logaddexp.reduce(logits))[::-1]
    shares = np.exp(logs)
    chosen = draw(st.integers(0, len(logs)))
    return TokenStatistics(
        chosen,
        float(logs[chosen]) if chosen < len(logs) else -1e5,
        0.0,
        tuple(range(len(logs))),
        tuple(logs.tolist()),
        float(shares[0] - sum(shares[1:2])),
        max(0.0, -float(sum(p * math.log(p) for p in shares if p))),
        chosen,
        0.0,
        draw(st.sampled_from([(), (float(logs[0]),), (-math.inf,)])),
        draw(st.floats(0, 1)),
        draw(st.none() | st.floats(0, 1e4)),
    )


FINISHES: list[FinishReason | None] = [None, "stop", "length"]


@given(st.lists(st.none() | statistics(), max_size=80), st.sampled_from(FINISHES))
def test_every_score_is_between_0_and_1_and_never_no_number(
    tokens: list[TokenStatistics | None], finish: FinishReason | None
) -> None:
    tracker = FeatureTracker()
    tracker.add(tokens, "x")
    draft = DraftState(num_tokens=len(tokens), finish_reason=finish, is_looping=True)

    for name in SIGNALS:
        score = tracker.score(name, draft)
        assert score is None or 0.0 <= score <= 1.0, name


@given(st.lists(statistics(), min_size=1, max_size=90))
def test_what_is_kept_token_by_token_is_what_the_formulas_say_of_the_whole(
    tokens: list[TokenStatistics],
) -> None:
    tracker = FeatureTracker()
    for one in tokens:
        tracker.add([one])
    logs = sorted(one.logprob for one in tokens)
    confidences = [-float(np.mean(one.top_logprobs)) for one in tokens]
    width = min(WINDOW, len(tokens))
    windows = [np.mean(confidences[i : i + width]) for i in range(len(tokens) - width + 1)]

    assert tracker.value("low_logprob") == min(0.0, logs[int(0.1 * len(logs))])
    assert tracker.value("q25_logprob") == min(0.0, logs[int(0.25 * len(logs))])
    assert tracker.value("mean_margin") == pytest.approx(np.mean([t.margin for t in tokens]))
    assert tracker.value("worst_window") == pytest.approx(min(windows), rel=1e-6, abs=1e-6)
    assert tracker.value("max_removed_mass") == max(one.masked_mass for one in tokens)


@given(st.lists(st.none() | statistics(), max_size=40), st.integers(1, 7))
def test_features_do_not_depend_on_how_tokens_come_in_events(
    tokens: list[TokenStatistics | None], step: int
) -> None:
    one_by_one, in_groups = FeatureTracker(), FeatureTracker()
    for one in tokens:
        one_by_one.add([one])
    for begin in range(0, len(tokens), step):
        in_groups.add(tokens[begin : begin + step])

    assert np.array_equal(one_by_one.features(), in_groups.features(), equal_nan=True)
