"""`edge-llm demo`: one request that stays on this device and one that goes up, both explained."""

from __future__ import annotations

import json
import sys
from typing import Any

from edge_llm.cli.chat import show_stream
from edge_llm.cli.demo_cloud import MODEL, ScriptedCloud
from edge_llm.cli.explain import explain
from edge_llm.cli.output import printable
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.types import Answer

HOME = "turn on the kitchen lights and set the bedroom to 21 degrees"
HARD = "Explain to ada@example.org why the sky is blue, and whether it is on Mars."

INTRODUCTION = """\
A model on this device and a cloud that is only pretended: a script on the loopback interface, with
made-up prices. Nothing leaves this machine, and no key is needed."""


def run(*, as_json: bool) -> None:
    """Ask both, print the answers as they come, then why each was answered where it was."""
    with ScriptedCloud() as cloud, EdgeLLM(**_options(cloud.url)) as llm:
        if as_json:
            print(json.dumps([llm.chat(text).to_dict() for text in (HOME, HARD)]))
            return
        print(INTRODUCTION)
        for text in (HOME, HARD):
            _show(llm, text)
        print("\nwhat the pretended cloud was sent:")
        for body in cloud.seen:
            print(f"  {json.dumps(body['messages'], ensure_ascii=False)}")


def _show(llm: EdgeLLM, text: str) -> None:
    print(f"\n> {text}")
    sys.stdout.flush()
    answer: Answer | None = show_stream(llm, text, {})
    if answer is not None:
        print(printable("\n".join(f"  {line}" for line in explain(answer))))


def _options(url: str) -> dict[str, Any]:
    endpoint = {
        "name": "cloud",
        "base_url": url,
        "model": MODEL,
        "prices": {"input_usd": 1.0, "output_usd": 4.0},
    }
    return {
        "tiers": [{"name": "local", "model": "builtin"}, endpoint],
        "privacy": {"label": "redact"},
    }
