"""What is remembered of conversations, and for how long."""

from __future__ import annotations

from edge_llm.integrations.wyoming.conversations import Conversations, Turn, as_messages
from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.types import ToolCall


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_turns_are_kept_apart_and_in_order() -> None:
    kept = Conversations(VoiceSettings(), Clock())
    kept.add("a", Turn("one", "1"))
    kept.add("b", Turn("two", "2"))
    kept.add("a", Turn("three", "3"))

    assert [turn.said for turn in kept.turns("a")] == ["one", "three"]
    assert [turn.said for turn in kept.turns("b")] == ["two"]
    assert kept.turns("c") == ()


def test_a_conversation_is_forgotten_after_a_while_unless_it_goes_on() -> None:
    clock = Clock()
    kept = Conversations(VoiceSettings(conversation_ttl_s=300), clock)
    kept.add("old", Turn("one", "1"))
    kept.add("going on", Turn("one", "1"))
    clock.now = 200
    kept.add("going on", Turn("two", "2"))
    clock.now = 301

    assert kept.turns("old") == ()
    assert len(kept.turns("going on")) == 2
    assert len(kept) == 1


def test_only_the_last_turns_and_the_latest_conversations_are_kept() -> None:
    kept = Conversations(VoiceSettings(max_turns=3, max_conversations=2), Clock())
    for number in range(5):
        kept.add("long", Turn(str(number), ""))
    kept.add("b", Turn("", ""))
    kept.add("c", Turn("", ""))

    assert len(kept) == 2
    assert kept.turns("long") == ()
    for number in range(5):
        kept.add("c", Turn(str(number), ""))
    assert [turn.said for turn in kept.turns("c")] == ["2", "3", "4"]


def test_calls_get_results_only_where_they_are_wanted() -> None:
    turn = Turn("lights on", "Turning on.", (ToolCall("id1", "HassTurnOn", {"area": "Küche"}),))
    call = {
        "id": "id1",
        "type": "function",
        "function": {"name": "HassTurnOn", "arguments": '{"area": "Küche"}'},
    }
    user = {"role": "user", "content": "lights on"}

    assert as_messages([turn], with_results=False) == [
        user,
        {"role": "assistant", "content": "Turning on.", "tool_calls": [call]},
    ]
    assert as_messages([turn], with_results=True) == [
        user,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "id1", "content": '{"success": true}'},
        {"role": "assistant", "content": "Turning on."},
    ]
