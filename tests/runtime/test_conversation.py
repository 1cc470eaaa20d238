from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.errors import ContextLengthExceededError
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.runtime.conversation import fit_conversation, split_turns

roles = st.sampled_from(["system", "user", "assistant", "tool"])
messages_of_any_role = st.builds(
    lambda role, length: {"role": role, "content": "x" * length}, roles, st.integers(0, 30)
)
conversations = st.lists(messages_of_any_role, min_size=1, max_size=12)


def encode(messages: Any) -> EncodedPrompt:
    return EncodedPrompt((1,) * sum(len(m["content"]) + 1 for m in messages), "", False)


@given(conversations, st.integers(1, 120), st.integers(1, 20))
def test_what_is_kept_fits_and_is_a_tail_of_whole_turns(
    messages: list[Any], max_model_len: int, max_tokens: int
) -> None:
    try:
        fitted = fit_conversation(
            messages,
            encode,
            max_tokens=max_tokens,
            max_model_len=max_model_len,
            overflow="drop_oldest",
        )
    except ContextLengthExceededError:
        turns = split_turns(messages)
        last = turns.later[-1] if turns.later else []
        smallest = [*turns.system, *last]
        assert len(encode(smallest).token_ids) + max_tokens > max_model_len
        return

    kept = len(messages) - fitted.dropped_messages
    assert len(fitted.prompt.token_ids) + max_tokens <= max_model_len
    system = [m for m in messages if m["role"] == "system"]
    assert kept >= len(system)


def test_turns_begin_at_user_messages_and_system_messages_stand_apart() -> None:
    order = ["system", "assistant", "user", "assistant", "tool", "assistant", "user", "developer"]
    messages = [{"role": role, "content": str(index)} for index, role in enumerate(order)]

    turns = split_turns(messages)

    assert [m["content"] for m in turns.system] == ["0", "7"]
    assert [[m["content"] for m in turn] for turn in turns.later] == [
        ["1"],
        ["2", "3", "4", "5"],
        ["6"],
    ]


def test_an_error_when_dropping_is_not_allowed() -> None:
    with pytest.raises(ContextLengthExceededError):
        fit_conversation(
            [{"role": "user", "content": "x" * 20}],
            encode,
            max_tokens=None,
            max_model_len=20,
            overflow="error",
        )
