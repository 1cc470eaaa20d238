"""The server as the real `openai` client sees it, over a real socket."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.prompt.chat_template import CHATML
from tests.support.runtimes import TOKENIZER, SpokenBackend
from tests.support.serving import served

HELLO: Any = [{"role": "user", "content": "hello"}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "light", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(SpokenBackend("Good morning.")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with connected(url) as client:
        yield client


def connected(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def test_a_whole_answer_with_its_record(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="fake", messages=HELLO)
    answer = raw.parse()
    body = json.loads(raw.content)

    assert answer.choices[0].message.content == "Good morning."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert body["edge_llm"]["text"] == "Good morning."
    assert body["edge_llm"]["route"] == raw.headers["x-edge-llm-route"] == "local"


def test_what_is_sent_is_what_the_openai_package_describes(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="fake", messages=HELLO, logprobs=True, top_logprobs=2, temperature=0
    )
    ChatCompletion.model_validate(json.loads(raw.content), strict=True)

    chunks = client.chat.completions.create(
        model="fake", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)


def test_a_stream_says_the_same_and_ends_with_the_record(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="fake", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    choices = [choice for chunk in chunks for choice in chunk.choices]

    assert "".join(choice.delta.content or "" for choice in choices) == "Good morning."
    assert [c.finish_reason for c in choices if c.finish_reason] == ["stop"]
    assert choices[0].delta.role == "assistant"
    assert sum(choice.delta.role is not None for choice in choices) == 1
    records = [chunk.model_extra or {} for chunk in chunks]
    assert [r["edge_llm"]["text"] for r in records if "edge_llm" in r] == ["Good morning."]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_options_reach_the_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake",
        messages=HELLO,
        max_completion_tokens=4,
        stop=["zzz"],
        seed=1,
        user="ignored",
        extra_body={"edge_llm": {"top_k": 1, "system": "Be brief."}},
    )

    assert answer.choices[0].message.content == "Good"
    assert answer.choices[0].finish_reason == "length"


def test_log_probabilities_of_each_token(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake", messages=HELLO, logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs

    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(one.token for one in logprobs.content) == "Good morning."
    assert all(len(one.top_logprobs) == 2 for one in logprobs.content)


def test_the_loaded_model_is_listed(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]

    assert names == ["fake", "builtin"]


BAD: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
    ({"model": "gpt-9"}, openai.NotFoundError, "model_not_found"),
    ({"temperature": -1}, openai.BadRequestError, "invalid_parameter"),
    ({"temperature": "hot"}, openai.BadRequestError, "invalid_parameter"),
    ({"n": 2}, openai.BadRequestError, "invalid_parameter"),
    ({"messages": []}, openai.BadRequestError, "invalid_parameter"),
    ({"messages": [{"role": "x", "content": "y"}]}, openai.BadRequestError, ""),
    ({"extra_body": {"unheard_of": 1}}, openai.BadRequestError, "invalid_parameter"),
    ({"extra_body": {"edge_llm": {"x": 1}}}, openai.BadRequestError, "invalid_parameter"),
    ({"tool_choice": "required"}, openai.BadRequestError, "invalid_parameter"),
    ({"max_tokens": 5000}, openai.BadRequestError, "context_length_exceeded"),
]


@pytest.mark.parametrize(("changes", "kind", "code"), BAD)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_served_is_an_openai_error(
    client: openai.OpenAI,
    changes: dict[str, Any],
    kind: type[openai.APIStatusError],
    code: str,
    stream: bool,
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(
            **{"model": "fake", "messages": HELLO, "stream": stream, **changes}
        )

    assert code in (caught.value.code, "")
    assert caught.value.type == "invalid_request_error"
    assert "hello" not in str(caught.value)


RAW: list[tuple[str, str, str, bytes, int]] = [
    ("POST", "/v1/chat/completions", "application/json", b"{", 400),
    ("POST", "/v1/chat/completions", "application/json", b"[]", 400),
    ("POST", "/v1/chat/completions", "application/json", b"[" * 100_000, 400),
    ("POST", "/v1/chat/completions", "text/plain", b"{}", 400),
    ("GET", "/v1/chat/completions", "application/json", b"", 405),
    ("GET", "/v1/nothing", "application/json", b"", 404),
]


@pytest.mark.parametrize(("method", "path", "kind", "body", "status"), RAW)
def test_what_is_no_request_is_told_in_openais_shape(
    url: str, method: str, path: str, kind: str, body: bytes, status: int
) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request(method, path, body, {"content-type": kind})
    response = connection.getresponse()
    told = json.loads(response.read())
    connection.close()

    assert response.status == status
    assert told["error"]["code"]
    assert told["error"]["message"]


class EndlessBackend(FakeBackend):
    """Says `a` for ever and counts its steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.speaks = threading.Event()
        super().__init__(
            self._say,
            tokenizer=TOKENIZER,
            # Long enough never to end by itself while the test lasts.
            capabilities=fake_capabilities(max_model_len=10**9),
            chat_template=CHATML,
        )

    def _say(self, tokens: Any) -> NDArray[np.float32]:
        self.steps += 1
        self.speaks.set()
        row = np.zeros(TOKENIZER.vocab_size, np.float32)
        row[ord("a")] = 30.0
        return row


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_vanishes_stops_the_engine(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborted = threading.Event()
    backend = EndlessBackend()
    free = backend.free

    def noted(seq: int) -> None:
        free(seq)
        aborted.set()

    monkeypatch.setattr(backend, "free", noted)
    with served(backend, prefix_slots=0) as url:
        body = json.dumps({"model": "fake", "messages": HELLO, "stream": stream}).encode()
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as raw:
            raw.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
                b"content-type: application/json\r\n"
                + f"content-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert backend.speaks.wait(60)
        assert aborted.wait(60)
