"""Slips: what they may do to a sentence, and what they must leave."""

from __future__ import annotations

import random
import re

import pytest

from scripts.builtin.noise import slip


def slipped(text: str, share: float = 1.0, *, is_name: bool = False) -> list[str]:
    return [slip(text, random.Random(seed), share, is_name=is_name) for seed in range(300)]


def test_digits_stay() -> None:
    for text in slipped("set the lamp to 35% and the fan to 7 in 1 hour 20"):
        assert re.findall(r"\d+", text) == ["35", "7", "1", "20"]


@pytest.mark.parametrize(
    ("word", "opposite"), [("on", "off"), ("off", "on"), ("up", "down"), ("down", "up")]
)
def test_what_decides_a_command_is_never_dropped_or_turned_round(word: str, opposite: str) -> None:
    for text in slipped(f"7 {word} 8"):
        between = text.partition("7 ")[2].rpartition(" 8")[0]
        assert between.strip()
        assert opposite not in between.split()


def test_a_name_keeps_its_words() -> None:
    for text in slipped("the old blorvik lamp", is_name=True):
        assert len(text.split()) == 4


def test_the_share_is_that_of_the_words() -> None:
    sentence = "turn the lamp in the kitchen on and close the curtains of the bedroom now please"
    before = sentence.split()
    changed = [len(set(before) - set(text.split())) for text in slipped(sentence, 0.15)]

    assert slip(sentence, random.Random(0), 0.0) == sentence
    assert 0.5 < sum(changed) / len(changed) < 3
