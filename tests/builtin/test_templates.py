"""The language of patterns, and what stands in its slots."""

from __future__ import annotations

import random

import pytest

from scripts.builtin.fillers import GENERAL_FILLERS
from scripts.builtin.intents import SlotValue
from scripts.builtin.numerals import spell
from scripts.builtin.templates import SlotRef, expand, find_references
from scripts.builtin.words import Names
from tests.support.builtin_shop import SHOP


def test_a_template_has_choices_options_macros_and_slots() -> None:
    rng = random.Random(0)
    readings = {tuple(expand("(a|b)[c] <m>{area:x}", rng, {"m": "d"})) for _ in range(100)}

    slot = SlotRef("area", "x")
    assert readings == {(text, slot) for text in ("a d", "b d", "ac d", "bc d")}


def test_a_slot_may_come_from_a_list() -> None:
    assert expand("{item from products}{size of sizes}", random.Random(0), {}) == [
        SlotRef("from", "item=products"),
        SlotRef("of", "size=sizes"),
    ]


def test_every_slot_of_any_reading_is_found() -> None:
    found = find_references("[{a}|{b from c}]<m>", {"m": "x (<n>|y)", "n": "{d:e}"})

    assert list(found) == [SlotRef("a", ""), SlotRef("from", "b=c"), SlotRef("d", "e")]


def test_a_bracket_that_is_not_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="not closed"):
        expand("turn (on", random.Random(0), {})


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (21, "twenty one"), (100, "one hundred"), (305, "three hundred five")],
)
def test_numbers_are_spelled(number: int, words: str) -> None:
    assert spell(number) == words


def fill(filler: str, argument: str, count: int = 300) -> list[tuple[str, dict[str, SlotValue]]]:
    names = Names(random.Random(0), SHOP)
    fills = [GENERAL_FILLERS[filler](names, argument) for _ in range(count)]
    return [(f.text, {f.copied: f.text} if f.copied else f.values) for f in fills]


def test_half_of_what_comes_from_a_list_is_invented() -> None:
    known = set(SHOP.lexicon["products"])
    copied = [values["item"] in known for text, values in fill("from", "item=products")]

    assert 0.4 < sum(copied) / len(copied) < 0.6


def test_one_of_a_closed_list_may_be_said_in_other_words() -> None:
    filled = {text: values["size"] for text, values in fill("of", "size=sizes")}

    assert filled["xl"] == filled["extra large"] == "extra large"
    assert filled["small"] == "small"


def test_a_count_keeps_to_its_bounds() -> None:
    numbers = {values["table"] for _, values in fill("count", "table=3..5")}

    assert numbers == {3, 4, 5}
    assert min(int(v["n"]) for _, v in fill("count", "n")) == 1


@pytest.mark.parametrize(
    ("filler", "argument", "slots"),
    [
        ("percent", "level", {"level"}),
        ("number", "level", {"level"}),
        ("degrees", "", {"temperature"}),
        ("degrees", "oven", {"oven"}),
        ("length", "cook_", {"cook_hours", "cook_minutes", "cook_seconds"}),
        ("color", "", {"color"}),
        ("color", "paint", {"paint"}),
        ("text", "note", {"note"}),
        ("word", "item=milk", {"item"}),
    ],
)
def test_a_filler_gives_the_slots_it_names(filler: str, argument: str, slots: set[str]) -> None:
    filled = fill(filler, argument)

    assert set().union(*(values for _, values in filled)) == slots
    assert all(text.strip() == text != "" for text, _ in filled)


def test_what_is_put_says_nothing() -> None:
    assert fill("put", "size=large", 1) == [("", {"size": "large"})]
    assert fill("put", "level=50", 1) == [("", {"level": 50})]
