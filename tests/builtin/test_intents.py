"""The table of calls: how it is read, and what is held against it."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.builtin.domain import load_domain
from scripts.builtin.intents import SlotType, ToolCall, read_intents
from scripts.builtin.replies import fill_reply
from scripts.builtin.speech import say_calls


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (ToolCall("HassFly", {}), "unknown intent 'HassFly'"),
        (ToolCall("HassTurnOn", {"colour": "red"}), "HassTurnOn has no slot 'colour'"),
        (ToolCall("HassSetPosition", {"position": 101}), "HassSetPosition.position cannot be 101"),
        (ToolCall("HassLightSet", {"color": "Red"}), "HassLightSet.color cannot be 'Red'"),
        (ToolCall("HassTurnOn", {"name": " lamp"}), "HassTurnOn.name cannot be ' lamp'"),
        (ToolCall("HassStartTimer", {"hours": 0}), "HassStartTimer.hours cannot be 0"),
        (ToolCall("HassBroadcast", {}), "HassBroadcast lacks 'message'"),
    ],
)  # fmt: skip
def test_a_call_outside_the_table_is_reported(call: ToolCall, fault: str) -> None:
    assert load_domain().intents.find_faults(call) == [fault]


def test_a_temperature_is_in_kelvin_for_a_light_and_in_degrees_elsewhere() -> None:
    intents = load_domain().intents

    assert intents.slot_type("HassLightSet", "temperature") is SlotType.KELVIN
    assert intents.slot_type("HassClimateSetTemperature", "temperature") is SlotType.DEGREES
    assert intents.slot_type("HassClimateSetTemperature", "color") is None
    assert intents.slot_type("HassFly", "temperature") is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"slot": {}}, r"\[intents.Buy\] has 'slot'"),
        ({"slots": {"item": "string"}}, r"item is 'string', not one of"),
        ({"required": ["item"]}, r"has no slot 'item'"),
        ({"reply": "buying {item}"}, r"has no slot 'item'"),
        ({"slots": {"item": "text"}, "reply": "buying {item}"}, r"put it in \[brackets\]"),
    ],
)
def test_a_wrong_entry_is_named(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_intents({"Buy": entry})


def test_an_entry_is_read_with_its_types() -> None:
    slots = {"item": "text", "quantity": "count"}
    intents = read_intents(
        {"Buy": {"slots": slots, "required": ["item"], "reply": "buying [{quantity} ]{item}"}}
    )

    assert intents["Buy"].slots == {"item": SlotType.TEXT, "quantity": SlotType.COUNT}
    assert intents.find_faults(ToolCall("Buy", {"item": "tea", "quantity": 2})) == []
    assert intents.find_faults(ToolCall("Buy", {"quantity": 2})) == ["Buy lacks 'item'"]


def test_a_reply_leaves_out_what_is_not_there() -> None:
    reply = "buying [{quantity} ]{item}[ at {price}]"

    assert fill_reply(reply, {"item": "tea"}) == "buying tea"
    assert fill_reply(reply, {"item": "tea", "quantity": 2}) == "buying 2 tea"
    assert fill_reply(reply, {"item": "[tea]", "price": "{item}"}) == "buying [tea] at {item}"


def test_several_calls_are_said_in_one_sentence() -> None:
    calls = [
        ToolCall("HassTurnOn", {"area": "kitchen", "domain": "light"}),
        ToolCall("Buy", {"item": "tea"}),
        ToolCall("HassClimateSetTemperature", {"area": "bedroom", "temperature": 21}),
    ]

    assert say_calls(calls, {"Buy": "buying {item}"}) == (
        "Turning on the kitchen lights, buying tea and setting the bedroom to 21 degrees."
    )
