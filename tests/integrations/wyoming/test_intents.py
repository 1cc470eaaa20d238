"""Which calls Home Assistant gets, and what it would refuse."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge_llm.integrations.wyoming.intents import INTENTS, entities, find_fault, offered_tools
from edge_llm.types import ToolCall

HOME = Path(__file__).parents[3] / "scripts" / "builtin" / "home" / "intents.toml"


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall("call_1", name, arguments)


def test_every_intent_the_built_in_model_knows_is_understood_with_all_its_slots() -> None:
    known = tomllib.loads(HOME.read_text(encoding="utf-8"))["intents"]

    assert known.keys() == INTENTS.keys()
    for name, entry in known.items():
        assert set(entry.get("slots", ())) == set(INTENTS[name].slots), name
        assert set(entry.get("required", ())) == set(INTENTS[name].required), name


def test_offered_tools_are_openai_tools_that_could_be_called() -> None:
    tools = offered_tools()

    assert len(tools) > 20
    for tool in tools:
        function = tool["function"]
        parameters = function["parameters"]
        assert tool["type"] == "function"
        assert function["description"]
        assert set(parameters["required"]) <= set(parameters["properties"])


@pytest.mark.parametrize(
    "wrong",
    [
        call("rm_rf", path="/"),
        call("HassSetVolume"),
        call("HassSetVolume", volume_level=""),
        call("HassTurnOn", entity_id="light.kitchen"),
        call("HassTurnOn", name={"a": 1}),
        call("HassTurnOn", name="x" * 501),
        call("HassGetState", name="door", state=[["open"]]),
    ],
)
def test_a_call_that_cannot_be_executed_is_told_apart(wrong: ToolCall) -> None:
    assert find_fault([call("HassTurnOn", area="kitchen"), wrong]) is not None


def test_more_calls_than_anybody_says_are_refused() -> None:
    assert find_fault([call("HassTurnOn", area="kitchen")] * 8) is None
    assert find_fault([call("HassTurnOn", area="kitchen")] * 9) is not None


def test_a_state_is_asked_for_in_the_words_of_sensors_too() -> None:
    window = call("HassGetState", name="window", state="Open", area="")

    assert entities(window) == {"name": "window", "state": ["open", "on"]}
    assert entities(call("HassGetState", state="home")) == {"state": "home"}
    assert entities(call("HassTurnOn", name="open")) == {"name": "open"}
