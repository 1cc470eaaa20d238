"""What the README and the guide tell people to type and to believe."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from pathlib import Path

import pytest
import typer

from edge_llm.cli.main import app
from edge_llm.integrations.wyoming.address import parse_uri
from edge_llm.integrations.wyoming.intents import offered_tools
from edge_llm.integrations.wyoming.settings import VoiceSettings
from tests.support.runtimes import SpokenBackend
from tests.support.serving import served

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "guides" / "voice.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {
        found.strip()
        for text in (GUIDE, (ROOT / "README.md").read_text(encoding="utf-8"))
        for found in re.findall(r"(?:edge-llm|scripts/run) (voice[^#\n`]*)", text)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_is_one(command: str) -> None:
    group = typer.main.get_command(app)
    words = shlex.split(command)
    context = group.make_context("edge-llm", words)
    voice = group.get_command(context, words[0])  # type: ignore[attr-defined]
    options = voice.make_context("voice", words[1:]).params

    address = parse_uri(options["uri"])
    assert options["allow_remote"] == address.is_remote


def test_there_are_commands_and_the_guide_is_short() -> None:
    assert len(COMMANDS) >= 3
    assert len(GUIDE.splitlines()) <= 100


def test_figures_of_the_guide_are_those_of_the_code() -> None:
    limits = VoiceSettings()

    assert f"gives {len(offered_tools())} of Home" in GUIDE
    assert f"{limits.max_clients} clients at once" in GUIDE
    assert f"{limits.max_conversations} conversations of ten turns" in GUIDE
    assert limits.max_turns == 10
    assert f"has {limits.deadline_s:.0f} seconds" in GUIDE
    assert f"more than {limits.max_text_chars:,} characters" in GUIDE
    assert limits.conversation_ttl_s == 300
    assert limits.grace_s == 5


def test_ovos_is_answered() -> None:
    persona = json.loads(GUIDE.partition("```json\n")[2].partition("```")[0])
    settings = persona[persona["solvers"][0]]
    # Source: ovos-openai-plugin, engines.py: what it posts, and where.
    body = {
        "model": settings["model"], "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 300, "temperature": 1, "top_p": 1, "n": 1, "frequency_penalty": 0,
        "presence_penalty": 0, "stop": "<|im_end|>", "stream": False,
    }  # fmt: skip
    with served(SpokenBackend("Good morning.")) as url:
        request = urllib.request.Request(
            settings["api_url"].replace("http://127.0.0.1:11500", url) + "/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {settings['key']}"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)

    assert answer["choices"][0]["message"]["content"] == "Good morning."
