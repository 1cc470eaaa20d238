"""Requests that wait on disk for the network."""

from pathlib import Path

import pytest

from edge_llm.backends.fake import fake_capabilities
from edge_llm.errors import AnswerDeferredError, CloudUnavailableError, UnsupportedParameterError
from tests.support.hybrid import CLOUD_ANSWER, DoubtfulBackend, hybrid

DOWN = "status 503\nbody {}"
TOO_LONG = "x" * 200


def small() -> DoubtfulBackend:
    return DoubtfulBackend("?", capabilities=fake_capabilities(max_model_len=128))


def test_a_request_waits_for_the_cloud_and_its_answer_is_handed_out_once(tmp_path: Path) -> None:
    with hybrid(small(), DOWN, CLOUD_ANSWER, state_dir=str(tmp_path)) as (llm, server):
        with pytest.raises(AnswerDeferredError) as caught:
            llm.chat(TOO_LONG, deferred=True)
        request_id = caught.value.request_id
        assert llm.take_deferred(request_id) is None
        assert llm.answer_deferred() == 1
        answer = llm.take_deferred(request_id)

        assert answer is not None
        assert (answer.text, answer.route) == ("From the cloud.", "cloud")
        assert llm.take_deferred(request_id) is None
        assert llm.answer_deferred() == 0
    assert len(server.requests) == 2


def test_a_request_outlives_the_process_that_asked(tmp_path: Path) -> None:
    with (
        hybrid(small(), DOWN, state_dir=str(tmp_path)) as (llm, _),
        pytest.raises(AnswerDeferredError) as caught,
    ):
        llm.chat(TOO_LONG, deferred=True)
    with hybrid(small(), state_dir=str(tmp_path)) as (llm, _):
        assert llm.answer_deferred() == 1
        answer = llm.take_deferred(caught.value.request_id)

    assert answer is not None
    assert answer.text == "From the cloud."


def test_without_the_option_the_error_is_the_clouds(tmp_path: Path) -> None:
    with (
        hybrid(small(), DOWN, state_dir=str(tmp_path)) as (llm, _),
        pytest.raises(CloudUnavailableError),
    ):
        llm.chat(TOO_LONG)


def test_what_can_be_answered_here_is_not_kept(tmp_path: Path) -> None:
    with hybrid(DoubtfulBackend("Here.", unsure=0.9), DOWN, state_dir=str(tmp_path)) as (llm, _):
        answer = llm.chat("x", deferred=True)

    assert (answer.text, answer.degraded) == ("Here.", True)


def test_a_validator_cannot_be_kept(tmp_path: Path) -> None:
    with (
        hybrid(small(), DOWN, state_dir=str(tmp_path)) as (llm, _),
        pytest.raises(UnsupportedParameterError, match="validator"),
    ):
        llm.chat(TOO_LONG, deferred=True, validator=bool)
