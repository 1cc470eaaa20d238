"""Sentences written by hand, so that the tests are not only of the generator's own making."""

from __future__ import annotations

from typing import NamedTuple

from scripts.builtin.intents import SlotValue, ToolCall


class PlainCase(NamedTuple):
    """A sentence and the calls it asks for; none means that it is to be refused."""

    asked: str
    calls: list[ToolCall]


def _case(asked: str, intent: str, /, **arguments: SlotValue) -> PlainCase:
    return PlainCase(asked, [ToolCall(intent, arguments)])


COMMANDS: tuple[PlainCase, ...] = (
    PlainCase(
        "turn on the kitchen lights and set the bedroom to 21 degrees",
        [
            ToolCall("HassTurnOn", {"area": "kitchen", "domain": "light"}),
            ToolCall("HassClimateSetTemperature", {"area": "bedroom", "temperature": 21}),
        ],
    ),
    _case("is the garage door open?", "HassGetState", name="garage door", state="open"),
    _case("Turn off the study lights.", "HassTurnOff", area="study", domain="light"),
    _case("kitchen lights off", "HassTurnOff", area="kitchen", domain="light"),
    _case("set a timer for 5 minutes", "HassStartTimer", minutes=5),
    _case("lock the front door", "HassTurnOn", domain="lock", name="front door"),
    _case("open the garage door", "HassTurnOn", domain="cover", name="garage door"),
    _case("play some jazz", "HassMediaSearchAndPlay", search_query="some jazz"),
    _case("dim the hallway lights to 30 percent", "HassLightSet", area="hallway", brightness=30),
    _case("add milk to the shopping list", "HassShoppingListAddItem", item="milk"),
    _case("what time is it?", "HassGetCurrentTime"),
    _case(
        "Make the Rosewood room lights purple", "HassLightSet", area="Rosewood room", color="purple"
    ),
    _case("switch the Vornado on please", "HassTurnOn", name="Vornado"),
    _case(
        "set brightness of the Hemnes lamp to forty percent",
        "HassLightSet",
        name="Hemnes lamp",
        brightness=40,
    ),
    _case(
        "how warm is it in the Winter Garden?", "HassClimateGetTemperature", area="Winter Garden"
    ),
    _case("set the volume to 35%", "HassSetVolume", volume_level=35),
    _case("vacuum the mezzanine", "HassVacuumCleanArea", area="mezzanine"),
    _case(
        "close the bedroom blinds",
        "HassTurnOff",
        area="bedroom",
        device_class="blind",
        domain="cover",
    ),
    _case("cancel the pasta timer", "HassCancelTimer", name="pasta"),
    _case(
        "announce that supper is on the table", "HassBroadcast", message="supper is on the table"
    ),
)

REFUSALS: tuple[str, ...] = (
    "who wrote Hamlet?",
    "what is the capital of France?",
    "what is 17 times 23?",
    "write me a poem about autumn",
    "how do vaccines work?",
    "asdf qwer zxcv",
    "Summarise the plot of Macbeth in two sentences.",
    "My order arrived broken, what should I do?",
    "Is it safe to eat raw eggs?",
    "Give me three names for a cat.",
    "Why do cats purr?",
    "Who was the first person on the moon?",
    "When does the supermarket close on Sundays?",
    "Turn this paragraph into a haiku: the leaves are falling.",
    "What's a good name for a startup that sells lamps?",
    "Explain the difference between TCP and UDP.",
    "Set out the arguments for and against nuclear power.",
    "Play devil's advocate about remote work.",
    "How many ounces are in a pound?",
    "Who painted the ceiling of the Sistine Chapel?",
    "Open a discussion about free will.",
    "What should I cook tonight with leftover rice?",
    "Can you recommend a book about the sea?",
    "Prove that the square root of two is irrational.",
    "Which team won last night?",
    "How do I get candle wax out of a carpet?",
    "Debug this code: for i in range(10) print(i)",
    "What are the symptoms of the flu?",
    "Plan a three day trip to Vienna.",
    "Is Pluto a planet?",
    "blue seven running cheese",
    "Find the derivative of x squared.",
    "What does the fox say?",
    "Tell me how light travels through glass.",
    "How expensive is it to heat a house with gas?",
    "Should I lock in my mortgage rate now?",
    "Rephrase this politely: you are late again.",
    "What is the best temperature for baking bread?",
    "Do spiders sleep?",
    "Where can I see the northern lights?",
)


def all_cases() -> tuple[PlainCase, ...]:
    """The commands and the sentences to refuse."""
    return (*COMMANDS, *(PlainCase(asked, []) for asked in REFUSALS))
