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
        # A model that cannot say itself that it does not know is helped by a rule.
        tags = ["question"] if llm.facts.unsure_token_id is None else []
        requests: list[tuple[str, dict[str, Any]]] = [(HOME, {}), (HARD, {"tags": tags})]
        if as_json:
            print(json.dumps([llm.chat(text, **more).to_dict() for text, more in requests]))
            return
        print(INTRODUCTION)
        for text, more in requests:
            _show(llm, text, more)
        print("\nwhat the pretended cloud was sent:")
        for body in cloud.seen:
            print(f"  {json.dumps(body['messages'], ensure_ascii=False)}")


def _show(llm: EdgeLLM, text: str, options: dict[str, Any]) -> None:
    print(f"\n> {text}")
    sys.stdout.flush()
    answer: Answer | None = show_stream(llm, text, options)
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
        "escalation": {"rules": ({"tag": "question", "tier": "cloud"},)},
    }
