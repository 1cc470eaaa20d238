"""Long conversations made shorter for the local model, before anything is sent anywhere."""

from typing import Any

import pytest

from edge_llm.backends.fake import fake_capabilities
from edge_llm.errors import ContextLengthExceededError
from edge_llm.runtime.passages import OMITTED, shorten
from tests.support.hybrid import hybrid
from tests.support.runtimes import SpokenBackend, fake_runtime

FILLER = "The weather was mild and the birds sang in the trees, as they do in spring. " * 3
NEEDLE = "The boiler's serial number is K-4711, and it hangs in the cellar. " * 3
CODE = "```python\nprint('hello')\n```"
TABLE = '{"boiler": [1, 2, 3], "rooms": {"cellar": 12.5, "attic": 9.0}}'
QUESTION = "What is the serial number of the boiler?"
LONG = "\n\n".join([FILLER, NEEDLE, CODE, FILLER, TABLE, FILLER, QUESTION])


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_the_passage_that_the_question_is_about_is_kept() -> None:
    (message,) = shorten([user(LONG)], 0.3)

    text = message["content"]
    assert NEEDLE in text
    assert FILLER not in text
    assert text.count(OMITTED) == 3
    assert text.endswith(QUESTION)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_code_json_instructions_and_the_question_are_never_cut(share: float) -> None:
    system = {"role": "system", "content": FILLER * 3}
    tool = {"role": "tool", "tool_call_id": "1", "content": FILLER * 3}
    kept = shorten([system, tool, user(LONG)], share)

    assert kept[:2] == [system, tool]
    for part in (CODE, TABLE, QUESTION):
        assert part in kept[2]["content"]


def test_what_need_not_go_is_left_as_it_is() -> None:
    messages = [user("short"), user(LONG)]

    assert shorten(messages, 1.0) == messages


def small(reply: str = "ok", length: int = 1024) -> SpokenBackend:
    return SpokenBackend(reply, fake_capabilities(max_model_len=length, num_kv_cells=8 * length))


def test_a_long_text_fits_once_its_passages_are_chosen() -> None:
    with fake_runtime(small()) as llm:
        with pytest.raises(ContextLengthExceededError):
            llm.chat(LONG)
        answer = llm.chat(LONG, overflow="passages")

    assert answer.text == "ok"
    assert answer.compressed_tokens > 0
    assert answer.usage.prompt_tokens < 1024


CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    user("My cat is called Minka. " * 13),
    {"role": "assistant", "content": "A lovely name. " * 13},
    user("She likes fish. " * 13),
    {"role": "assistant", "content": "Of course. " * 13},
    user("What is my cat called?"),
]


def test_the_oldest_turns_are_summed_up_by_the_local_model() -> None:
    backend = small("Minka.", 960)
    with fake_runtime(backend) as llm:
        with pytest.raises(ContextLengthExceededError):
            llm.chat(CONVERSATION)
        answer = llm.chat(CONVERSATION, overflow="summarise", max_tokens=20)

    assert answer.text == "Minka."
    assert answer.compressed_tokens > 100
    assert answer.dropped_messages == 0


def test_turns_with_code_are_not_summed_up() -> None:
    coded = [*CONVERSATION]
    coded[1] = user(f"{CODE}\n" * 14)
    coded[3] = user(f"{CODE}\n" * 14)
    with fake_runtime(small(length=960)) as llm, pytest.raises(ContextLengthExceededError):
        llm.chat(coded, overflow="summarise")


def test_what_was_made_to_fit_does_not_go_up_and_what_was_not_goes_whole() -> None:
    with hybrid(small()) as (llm, server):
        kept = llm.chat(LONG, overflow="passages")
        assert (kept.route, server.requests) == ("local", [])
        sent = llm.chat(LONG)

    assert (sent.route, sent.reason, sent.compressed_tokens) == ("cloud", "context_length", 0)
    assert server.requests[0].json["messages"] == [user(LONG)]
