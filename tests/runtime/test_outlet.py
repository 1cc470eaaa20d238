"""The streaming contract, as properties of the state machine that everything is let out through."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_llm.errors import InvalidParameterError
from edge_llm.runtime.hold import Hold, parse_hold
from edge_llm.runtime.outlet import Draft, Outlet
from edge_llm.types import Chunk, ToolCall

HOLDS = [Hold("none"), Hold("window", 3), Hold("window", 1), Hold("sentence"), Hold("full")]
CALL = Chunk(tool_call=ToolCall("1", "f", {}))
texts = st.text(alphabet="ab .!\n。", min_size=1, max_size=6)


def feed(outlet: Outlet, draft: Draft, pieces: Sequence[str]) -> list[str]:
    seen: list[str] = []
    for piece in pieces:
        seen += [chunk.text for chunk in outlet.add(draft, [Chunk(text=piece)], 1)]
    return seen


@pytest.mark.parametrize(
    ("hold", "seen"),
    [
        ("none", ["One", " two. Th", "ree"]),
        ("window(2)", ["One", " two. Th", "ree"]),
        ("window(4)", []),
        ("sentence", ["One", " two. "]),
        ("full", []),
    ],
)
def test_what_is_seen_before_the_end(hold: str, seen: list[str]) -> None:
    outlet, draft = Outlet(parse_hold(hold)), Draft()

    assert feed(outlet, draft, ["One", " two. Th", "ree"]) == seen
    outlet.finish(draft)
    assert outlet.text == "One two. Three"


@pytest.mark.parametrize("text", ["", "window(0)", "window(-1)", "words", None, 7])
def test_a_hold_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(InvalidParameterError, match="hold must be"):
        parse_hold(text)


def test_a_stop_inside_a_number_is_no_end_of_a_sentence() -> None:
    outlet, draft = Outlet(Hold("sentence")), Draft()

    assert feed(outlet, draft, ["It is 21", ".", "5 degrees"]) == []


@pytest.mark.parametrize("hold", HOLDS, ids=str)
def test_a_call_and_what_follows_it_wait_for_the_end(hold: Hold) -> None:
    outlet, draft = Outlet(hold), Draft()
    outlet.add(draft, [CALL], 9)

    assert outlet.add(draft, [Chunk(text="Done. ")], 9) == []
    assert outlet.free(draft) == []
    assert outlet.finish(draft) == [CALL, Chunk(text="Done. ")]


def test_thoughts_are_held_as_the_answer_is() -> None:
    outlet, draft = Outlet(Hold("window", 1)), Draft()

    assert outlet.add(draft, [Chunk(reasoning="hm")], 0) == []
    assert len(outlet.add(draft, [Chunk(text="a")], 1)) == 2


@given(st.sampled_from(HOLDS), st.lists(texts, max_size=12))
def test_everything_is_seen_once_and_in_order(hold: Hold, pieces: list[str]) -> None:
    outlet, draft = Outlet(hold), Draft()
    seen = feed(outlet, draft, pieces)
    seen += [chunk.text for chunk in outlet.finish(draft)]

    assert "".join(seen) == "".join(pieces) == outlet.text


@dataclass
class Told:
    """One draft with everything it ever said."""

    draft: Draft = field(default_factory=Draft)
    said: str = ""


class Contract(RuleBasedStateMachine):
    """Several tiers speak, are freed and finish in any order."""

    @initialize(hold=st.sampled_from(HOLDS))
    def begin(self, hold: Hold) -> None:
        self.hold = hold
        self.outlet = Outlet(hold)
        self.tiers = [Told() for _ in range(3)]
        self.seen = ""
        self.before = ""

    @rule(tier=st.integers(0, 2), text=texts, call=st.booleans())
    def speak(self, tier: int, text: str, call: bool) -> None:
        told = self.tiers[tier]
        told.said += text
        chunks = [Chunk(text=text), *([CALL] if call else [])]
        self.take(self.outlet.add(told.draft, chunks, 1))

    @rule(tier=st.integers(0, 2))
    def give_up_holding(self, tier: int) -> None:
        self.take(self.outlet.free(self.tiers[tier].draft))

    @rule(tier=st.integers(0, 2))
    def finish(self, tier: int) -> None:
        self.take(self.outlet.finish(self.tiers[tier].draft))

    def take(self, chunks: list[Chunk]) -> None:
        self.before = self.seen
        self.seen += "".join(chunk.text for chunk in chunks)

    @invariant()
    def what_was_seen_is_the_beginning_of_what_one_tier_said(self) -> None:
        assert self.seen == self.outlet.text
        committed = self.outlet.committed
        if committed is None:
            assert self.seen == ""
            return
        told = next(one for one in self.tiers if one.draft is committed)
        assert told.said.startswith(self.seen)
        assert self.seen.startswith(self.before), "nothing is ever taken back"
        assert told.said == self.seen + committed.text


TestContract = Contract.TestCase
