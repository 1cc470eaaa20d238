"""What applications put around a request: system prompts, the time, and tools of their own."""

from __future__ import annotations

import random
from typing import NamedTuple

from scripts.builtin.templates import split_words

GENERAL_PROMPTS = (
    "You are a helpful assistant.",
    "Answer in plain text, briefly.",
    "Be concise.",
    "Reply in one sentence.",
    "You are a local model on a small device.",
    "Never make things up. If you cannot help, say so.",
)
"""For a domain that has none of its own."""
FOREIGN_TOOLS: list[tuple[str, tuple[str, ...]]] = [
    ("GetLiveContext", ()),
    ("GetDateTime", ()),
    ("get_weather", ("city", "unit")),
    ("web_search", ("query",)),
    ("send_email", ("to", "subject", "body")),
    ("run_script", ("script_id", "variables")),
    ("calculator", ("expression",)),
    ("todo_get_items", ("todo_list", "status")),
]
_DAYS = split_words("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")
_MONTHS = split_words(
    "January|February|March|April|May|June|July|August|September|October|November|December"
)


class Clock(NamedTuple):
    """A moment: how a prompt states it, and what to answer when asked."""

    statement: str
    time: str
    date: str


def tell_time(rng: random.Random) -> Clock:
    """A random moment, stated in one of the ways of system prompts."""
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    time = f"{hour:02}:{minute:02}"
    if rng.random() < 0.35:
        time = f"{hour % 12 or 12}:{minute:02} {'AM' if hour < 12 else 'PM'}"
    day, month, number = rng.choice(_DAYS), rng.choice(_MONTHS), rng.randint(1, 28)
    year = rng.randint(2023, 2032)
    date = rng.choice(
        (
            f"{day}, {month} {number}",
            f"{day}, {number} {month} {year}",
            f"{year}-{_MONTHS.index(month) + 1:02}-{number:02}",
            f"{day}",
        )
    )
    statement = rng.choice(
        (
            f"The current time is {time}. Today is {date}.",
            f"Current time: {time}. Current date: {date}.",
            f"Today is {date}. It is {time}.",
            f"Time: {time}\nDate: {date}",
            f"Now: {date} {time}",
        )
    )
    return Clock(statement, f"It is {time}.", f"It is {date}.")
