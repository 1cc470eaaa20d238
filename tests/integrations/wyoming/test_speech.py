"""What Home Assistant says: its own template engine renders it, so these are rendered too."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge_llm.integrations.wyoming.speech import finding, plain
from edge_llm.types import ToolCall


@dataclass
class State:
    """What Home Assistant gives a template of an entity."""

    name: str
    state: str
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def state_with_unit(self) -> str:
        return self.state


LAMP, SPOT = State("Lamp", "on"), State("Spot", "off")
DOOR = State("Garage door", "closed")


def said(
    name: str,
    slots: dict[str, Any],
    words: str,
    matched: tuple[State, ...] = (),
    unmatched: tuple[State, ...] = (),
    **found: Any,
) -> str:
    template = finding(ToolCall("1", name, slots), words)
    assert template is not None
    states = [*matched, *unmatched]
    text = (
        ImmutableSandboxedEnvironment()
        .from_string(template)
        .render(
            slots={**slots, **found},
            state=states[0] if states else None,
            query={"matched": list(matched), "unmatched": list(unmatched)},
        )
    )
    return " ".join(text.split())


def test_whether_one_thing_is_as_asked() -> None:
    slots = {"name": "garage door", "state": "open"}
    question = "is the garage door open?"

    assert said("HassGetState", slots, question, unmatched=(DOOR,)) == "No, closed."
    assert said("HassGetState", slots, question, (State("Garage door", "open"),)) == "Yes."
    assert said("HassGetState", slots, question, unmatched=(State("Door", "off"),)) == "No."
    assert said("HassGetState", slots, question) == "I could not find that."


def test_what_one_thing_is() -> None:
    slots = {"name": "anna", "domain": "person"}

    assert said("HassGetState", slots, "where is Anna", (State("Anna", "not_home"),)) == (
        "Anna is not home."
    )


@pytest.mark.parametrize(
    ("question", "matched", "unmatched", "answer"),
    [
        ("how many lights are on", (LAMP,), (SPOT,), "1."),
        ("which lights are on", (LAMP,), (SPOT,), "Lamp."),
        ("which lights are on", (), (SPOT,), "None."),
        ("is any light on", (LAMP,), (SPOT,), "Yes, Lamp."),
        ("is any light on", (), (SPOT,), "No."),
        ("are all lights on", (LAMP,), (SPOT,), "No, not Spot."),
        ("are the lights on", (LAMP,), (), "Yes."),
    ],
)
def test_questions_about_several_things(
    question: str, matched: tuple[State, ...], unmatched: tuple[State, ...], answer: str
) -> None:
    slots = {"domain": "light", "state": "on"}

    assert said("HassGetState", slots, question, matched, unmatched) == answer


def test_many_names_are_cut_short() -> None:
    lamps = tuple(State(f"L{i}", "on") for i in range(7))

    text = said("HassGetState", {"domain": "light", "state": "on"}, "which lights", lamps)

    assert text == "L0, L1, L2, L3, 3 +."


def test_what_home_assistant_found_is_told() -> None:
    sensor = State("Bedroom", "21.5 °C")
    thermostat = State("Heating", "heat", {"current_temperature": 20})
    sky = State("Home", "partlycloudy", {"temperature": 9, "temperature_unit": "°C"})
    timer = {"name": "pizza", "rounded_minutes_left": 4, "rounded_seconds_left": 5}

    assert said("HassClimateGetTemperature", {}, "", (sensor,)) == "21.5 °C"
    assert said("HassClimateGetTemperature", {}, "", (thermostat,)) == "20"
    assert said("HassGetWeather", {}, "", (sky,)) == "partly cloudy, 9 °C."
    assert said("HassGetCurrentTime", {}, "", time=datetime.time(7, 5)) == "07:05"
    assert said("HassTimerStatus", {}, "", timers=[]) == "There is no timer."
    assert said("HassTimerStatus", {}, "", timers=[timer]) == "pizza 4 min 5 s left."


def test_commands_have_words_of_their_own() -> None:
    assert finding(ToolCall("1", "HassTurnOn", {"name": "lamp"}), "turn on the lamp") is None


@pytest.mark.parametrize("text", ["{{ states('lock.door') }}", "{% set a = 1 %}", "{# x #}"])
def test_nothing_that_was_said_is_a_template(text: str) -> None:
    assert "{" not in plain(text)
    assert ImmutableSandboxedEnvironment().from_string(plain(text)).render() == plain(text)


def test_a_question_does_not_reach_the_template_that_answers_it() -> None:
    slots = {"name": "{{ 1 + 1 }}", "state": "{{ 2 + 2 }}"}
    template = finding(ToolCall("1", "HassGetState", slots), "is {{ 3 + 3 }} on? {% raw %}")

    assert template == finding(ToolCall("1", "HassGetState", {"name": "a", "state": "b"}), "")
