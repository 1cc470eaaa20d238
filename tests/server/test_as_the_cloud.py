"""Our own server as an endpoint of a cloud tier, through the real SDK; the README's examples."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.types import CloudReasoning, CloudToolCall
from edge_llm.config.tiers import parse_tiers
from edge_llm.errors import CloudContextLengthError, CloudModelNotFoundError, CloudRequestError
from edge_llm.prompt.chat_template import CHATML
from edge_llm.runtime.endpoints import create_endpoint
from tests.support.cloud import ask, endpoint, finish_of, request, text_of
from tests.support.runtimes import SpokenBackend, spell_calls
from tests.support.serving import served

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(SpokenBackend("<think>Hm.</think>Good morning. 🙂")) as url:
        yield f"{url}/v1"


def test_an_answer_with_thoughts_usage_and_record(url: str) -> None:
    events = asyncio.run(ask(endpoint(url, model="fake", key=None)))

    finish = finish_of(events)
    assert text_of(events) == "Good morning. 🙂"
    assert "".join(e.text for e in events if isinstance(e, CloudReasoning)) == "Hm."
    assert not finish.usage.estimated
    assert finish.record is not None
    assert finish.record["text"] == "Good morning. 🙂"


def test_a_tool_call_arrives_whole() -> None:
    call = spell_calls(("light", {"on": True}))
    template = CHATML.replace("{%", "{% if tools %}{{ tools }}{% endif %}{%", 1)
    tool = {"type": "function", "function": {"name": "light", "parameters": {}}}

    with served(SpokenBackend(call, chat_template=template)) as url:
        where = endpoint(f"{url}/v1", model="fake", key=None)
        events = asyncio.run(ask(where, request(tools=(tool,))))

    pieces = [event for event in events if isinstance(event, CloudToolCall)]
    assert (pieces[0].name, len({piece.index for piece in pieces})) == ("light", 1)
    assert "".join(piece.arguments for piece in pieces) == '{"on":true}'
    assert finish_of(events).finish_reason == "tool_calls"


def test_its_errors_are_understood(url: str) -> None:
    for changes, asked, kind in (
        ({"model": "gpt-9"}, request(), CloudModelNotFoundError),
        ({"model": "fake"}, request(max_tokens=10**6), CloudContextLengthError),
        ({"model": "fake"}, request(temperature=-1.0), CloudRequestError),
    ):
        with pytest.raises(kind):
            asyncio.run(ask(endpoint(url, key=None, **changes), asked))


def tables() -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_endpoints_of_the_readme_can_be_meant() -> None:
    names = []
    for text in tables():
        for tier in parse_tiers(tomllib.loads(text).get("tiers", [])):
            clients = [CloudClient(create_endpoint(table)) for table in tier.endpoints]
            names += [client.endpoint.name for client in clients]

    assert {"openai", "openrouter", "basement", "azure", "xroute"} <= set(names)


def test_python_of_the_readme_that_needs_a_server_works(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"^```py\n(.*?)^```", README, re.DOTALL | re.MULTILINE)

    exec(code.replace("http://127.0.0.1:11500", url), {})

    assert "Good morning." in capsys.readouterr().out
