"""Random scripts for `CloudServer`, the same for the same seed, with what may come of each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

WORDS = ("the", "lamp", "is", "on", "and", "warm", "naïve", "日本", "🙂", "done.", "No.", "\n")


@dataclass(frozen=True)
class FaultScript:
    """A script, and all that an honest reader of its answer may ever show."""

    text: str
    said: str
    """The answer's text as far as the script says it: what is shown is a beginning of it."""
    is_complete: bool
    """Whether it is an answer; if not, only an error or another tier can end the request."""
    kind: str
    """The fault, or `none`."""


def random_script(dice: random.Random, words: int | None = None) -> FaultScript:
    """One script: a whole answer, or one with a fault before, in or after it."""
    said = random_words(dice, dice.randint(0, 12) if words is None else words)
    kind, fault = dice.choice(FAULTS)
    return fault(dice, said, kind)


def random_words(dice: random.Random, count: int) -> list[str]:
    return [dice.choice(WORDS) + " " for _ in range(count)]


def say(words: list[str]) -> str:
    return "".join(f"say {json.dumps(word)[1:-1]}\n" for word in words)


def _end(dice: random.Random) -> str:
    """The ways in which a complete answer may end."""
    usage = dice.choice(["", "usage 9 3\n"])
    tail = dice.choice(["done", "done", "done", "close", "", "reset", "comment\ndone"])
    return f"finish {dice.choice(['stop', 'length'])}\n{usage}{tail}"


def _whole(dice: random.Random, words: list[str], kind: str) -> FaultScript:
    pause = dice.choice(["", "wait 0.01\n", "comment\n"])
    return FaultScript(pause + say(words) + _end(dice), "".join(words), True, kind)


def _status(line: Callable[[random.Random], str]) -> Fault:
    def make(dice: random.Random, words: list[str], kind: str) -> FaultScript:
        return FaultScript(f"status {line(dice)}", "", False, kind)

    return make


def _broken(line: Callable[[random.Random], str]) -> Fault:
    """A fault somewhere in the middle of an answer; nothing after it counts."""

    def make(dice: random.Random, words: list[str], kind: str) -> FaultScript:
        shown = words[: dice.randint(0, len(words))]
        return FaultScript(say(shown) + line(dice), "".join(shown), False, kind)

    return make


Fault = Callable[[random.Random, list[str], str], FaultScript]


def _fixed(text: str) -> Callable[[random.Random], str]:
    return lambda _: text


def _rate_limit(dice: random.Random) -> str:
    header = dice.choice(
        [
            "",
            " retry-after=0",
            " retry-after=0.02",
            " retry-after=1",
            " retry-after=3600",
            " retry-after=never",
            " retry-after-ms=15",
            " 'retry-after=Wed, 21 Oct 1999 07:28:00 GMT'",
            " 'retry-after=Wed, 21 Oct 2099 07:28:00 GMT'",
        ]
    )
    return f"429{header}\nbody {{}}"


def _server_error(dice: random.Random) -> str:
    return f"{dice.choice([500, 502, 503, 504, 529])}\nbody <html>oops</html>"


def _half_event(dice: random.Random) -> str:
    whole = 'data: {"choices": [{"delta": {"content": "x"}}]}\\n\\n'
    return f"raw {whole[: dice.randint(7, 40)]}\n{dice.choice(['close', 'reset', 'hang'])}"


def _bad_json(dice: random.Random) -> str:
    return "raw data: " + dice.choice(["{", "nonsense", "[]", '"x"', "{'a': 1}"]) + "\\n\\n\ndone"


FAULTS: tuple[tuple[str, Fault], ...] = (
    ("none", _whole),
    ("none", _whole),
    ("none", _whole),
    ("slow", _broken(_fixed("hang"))),
    ("closed at once", _broken(_fixed("close"))),
    ("reset", _broken(_fixed("reset"))),
    ("half event", _broken(_half_event)),
    ("bad json", _broken(_bad_json)),
    ("content type", _status(_fixed("200 content-type=text/html\nbody <html>log in</html>"))),
    ("redirect", _status(_fixed("302 location=http://127.0.0.1:1/\nbody"))),
    ("401", _status(_fixed("401\nbody {}"))),
    ("400", _status(_fixed('400\nbody {"error": {"code": "context_length_exceeded"}}'))),
    ("429", _status(_rate_limit)),
    ("5xx", _status(_server_error)),
    ("truncated", _broken(_fixed("done"))),
    ("no finish", _broken(_fixed("usage 1 1"))),
    ("error object", _broken(_fixed("error boom"))),
    ("filter", _broken(_fixed("finish content_filter\ndone"))),
    ("after the end", _broken(_fixed("finish stop\nsay more\ndone"))),
    ("never-ending comments", _broken(_fixed("comments"))),
    ("huge event", _broken(_fixed("huge 1200000"))),
    ("drip", _broken(_fixed("drip 0.01 data: {never quite a whole event"))),
)
