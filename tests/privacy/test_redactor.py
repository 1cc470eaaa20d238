"""Whole requests: nothing that is known to be secret is anywhere in what would leave."""

import copy
import json
import pickle
from typing import Any

import pytest

from edge_llm.config import PrivacyConfig
from edge_llm.errors import PrivacyRuleError, RedactionError
from edge_llm.privacy import Redactions, create_redactor, restore_json, restore_text

REDACTOR = create_redactor(PrivacyConfig(terms=("Project Kestrel",)), strict=True)
MAIL = "max@example.de"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo"}}


def redacted(*messages: dict[str, Any], **options: Any) -> str:
    """All of what would leave, as JSON."""
    found = REDACTOR.redact(messages, **options)
    return json.dumps([found.messages, found.tools], ensure_ascii=False)


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "send", "arguments": json.dumps({"to": MAIL, "n": 1})},
        }
    ],
}

PLACES: list[dict[str, Any]] = [
    {"role": "system", "content": f"You serve {MAIL}."},
    {"role": "developer", "content": f"{MAIL}"},
    {"role": "user", "content": [{"type": "text", "text": f"I am {MAIL}"}]},
    {"role": "assistant", "content": "ok", "reasoning_content": f"{MAIL} asks"},
    {"role": "assistant", "refusal": MAIL, "content": None},
    CALL,
    {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"owner": {"mail": MAIL}})},
    {"role": "tool", "tool_call_id": "call_1", "content": '{"mail": "max\\u0040example.de"}'},
    {
        "role": "tool",
        "tool_call_id": "1",
        "content": '{"a": "max\\u0040example.de", "a": "x"} ' + MAIL,
    },
    {"role": "user", "name": MAIL, "content": "hello"},
    {"role": "user", "content": "x", "metadata": {"list": [{"deep": MAIL}], MAIL: True}},
    {"role": "tool", "tool_call_id": MAIL, "content": "done"},
]


@pytest.mark.parametrize("message", PLACES, ids=str)
def test_every_place_of_a_message_is_searched(message: dict[str, Any]) -> None:
    before = copy.deepcopy(message)

    out = redacted(message)

    assert "example.de" not in out
    assert message == before


def test_arguments_stay_json_and_come_back_as_they_were() -> None:
    found = REDACTOR.redact([CALL])
    arguments = found.messages[0]["tool_calls"][0]["function"]["arguments"]

    assert json.loads(arguments) == {"to": "[EMAIL_1]", "n": 1}
    assert json.loads(restore_json(arguments, found.redactions)) == {"to": MAIL, "n": 1}


def test_a_value_is_told_by_its_name_in_json() -> None:
    document = {
        "password": "letmein", "phone": "5550123", "card": 4111111111111111, "latitude": 48.85,
        "nested": {"api_key": "0123456789abcdef0123"}, "volume": 11, "on": True,
    }  # fmt: skip

    found = REDACTOR.redact(
        [{"role": "tool", "tool_call_id": "1", "content": json.dumps(document)}]
    )

    assert json.loads(found.messages[0]["content"]) == {
        "password": "[KEY_1]", "phone": "[PHONE_1]", "card": "[CARD_1]", "latitude": "[GPS_1]",
        "nested": {"api_key": "[KEY_2]"}, "volume": 11, "on": True,
    }  # fmt: skip


def test_tools_are_searched_too() -> None:
    tool = {"type": "function", "function": {"name": "mail", "description": f"writes to {MAIL}"}}

    found = REDACTOR.redact([], tools=[tool])

    assert found.tools == [
        {"type": "function", "function": {"name": "mail", "description": "writes to [EMAIL_1]"}}
    ]


def test_the_same_text_has_the_same_placeholder_through_a_conversation() -> None:
    first = REDACTOR.redact([{"role": "user", "content": f"{MAIL} and a@b.de"}])
    second = REDACTOR.redact([{"role": "user", "content": f"c@d.de, {MAIL}"}], first.redactions)

    assert first.messages[0]["content"] == "[EMAIL_1] and [EMAIL_2]"
    assert second.messages[0]["content"] == "[EMAIL_3], [EMAIL_1]"
    assert (first.counts, second.counts) == ({"EMAIL": 2}, {"EMAIL": 2})


def test_what_was_found_once_is_replaced_where_no_rule_would_see_it() -> None:
    found = REDACTOR.redact(
        [
            {"role": "user", "content": "hunter2 it was, or 5550123, not 45550123"},
            {"role": "user", "content": "my password: hunter2, call 5550123"},
        ]
    )

    assert found.messages[0]["content"] == "[KEY_1] it was, or [PHONE_1], not 45550123"


def test_what_looks_like_a_placeholder_is_not_taken_for_one() -> None:
    text = f"is [EMAIL_1] or [email_1] {MAIL}?"

    found = REDACTOR.redact([{"role": "user", "content": text}])
    sent = found.messages[0]["content"]

    assert sent == "is [TEXT_1] or [TEXT_2] [EMAIL_1]?"
    assert restore_text(sent, found.redactions) == text
    assert restore_text("[EMAIL_1] [EMAIL_2]", found.redactions) == f"{MAIL} [EMAIL_2]"


@pytest.mark.parametrize(
    "part",
    [IMAGE, {"type": "input_audio", "input_audio": {"data": "x"}}, {"type": "holo", "x": "y"}],
)
def test_what_cannot_be_searched_does_not_leave(part: dict[str, Any]) -> None:
    with pytest.raises(RedactionError, match=r"privacy\.media"):
        redacted({"role": "user", "content": [part]})


def test_images_may_be_let_through() -> None:
    redactor = create_redactor(PrivacyConfig(media="allow"), strict=True)
    linked = {"type": "image_url", "image_url": {"url": "https://u:p@x.de/a.png"}}

    found = redactor.redact([{"role": "user", "content": [IMAGE, linked]}])

    assert found.messages[0]["content"][0] == IMAGE
    assert found.messages[0]["content"][1]["image_url"]["url"] == "[URL_1]"


@pytest.mark.parametrize(
    "message",
    [
        {"role": MAIL, "content": "x"},
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "Project Kestrel", "arguments": ""}}],
        },
        {"role": "user", "content": b"bytes"},
        {"role": "user", "content": "x", "extra": object()},
    ],
    ids=["role", "function", "bytes", "object"],
)
def test_what_cannot_be_replaced_does_not_leave(message: dict[str, Any]) -> None:
    with pytest.raises(RedactionError) as raised:
        redacted(message)

    assert MAIL not in str(raised.value)
    assert "Kestrel" not in str(raised.value)


def test_deep_nesting_is_refused_and_not_followed() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]

    with pytest.raises(RedactionError, match="deep"):
        redacted({"role": "user", "content": "x", "extra": deep})
    redacted({"role": "tool", "tool_call_id": "1", "content": "[" * 100_000})


def find_ada(text: str) -> list[tuple[int, int, str]]:
    at = text.find("Ada")
    return [] if at < 0 else [(at, at + 3, "NAME")]


def fail(text: str) -> list[tuple[int, int, str]]:
    raise RuntimeError(f"cannot read {text!r}")


def give_nonsense(text: str) -> list[tuple[int, int, str]]:
    return [(0, len(text) + 5, "NAME")]


def give_an_unknown_kind(text: str) -> list[tuple[int, int, str]]:
    return [(0, 1, "PERSON")]


@pytest.mark.parametrize("recogniser", [find_ada, f"{__name__}:find_ada"])
def test_names_are_found_by_whatever_the_user_brings(recogniser: Any) -> None:
    redactor = create_redactor(PrivacyConfig(recogniser=recogniser), strict=True)

    assert redactor.redact_text("I am Ada.", Redactions())[0] == "I am [NAME_1]."


@pytest.mark.parametrize("recogniser", [fail, give_nonsense, give_an_unknown_kind])
def test_a_recogniser_that_errs_lets_nothing_pass_and_nothing_be_read(recogniser: Any) -> None:
    redactor = create_redactor(PrivacyConfig(recogniser=recogniser), strict=True)

    with pytest.raises(RedactionError) as raised:
        redactor.redact([{"role": "user", "content": "the secret"}])

    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "config",
    [
        PrivacyConfig(patterns=("(", "a")),
        PrivacyConfig(patterns=(r"(?=secret)",)),
        PrivacyConfig(patterns=(r"(secret)\1",)),
        PrivacyConfig(patterns=("x*",)),
        PrivacyConfig(patterns=("(((x{1,1000}){1,1000}){1,1000})",)),
        PrivacyConfig(regions=("XX",)),
        PrivacyConfig(recogniser="no.such.module:name"),
        PrivacyConfig(recogniser="json:decoder"),
        PrivacyConfig(recogniser="json"),
    ],
    ids=repr,
)
def test_rules_that_cannot_be_used_keep_everything_here(config: PrivacyConfig) -> None:
    with pytest.raises(PrivacyRuleError) as raised:
        create_redactor(config, strict=True)
    assert "secret" not in str(raised.value)

    broken = create_redactor(config)

    assert broken.problem is not None
    with pytest.raises(RedactionError, match="stays here"):
        broken.redact([])


def test_own_terms_and_patterns() -> None:
    config = PrivacyConfig(
        terms=("José  Müller", "C++ Lab", "№7", "  "), patterns=(r"\bACME-\d{4}\b",)
    )
    redactor = create_redactor(config, strict=True)
    text = "josé\nmüller, Jose\u0301 Mu\u0308ller, c++ lab №7, C++ Labs, ACME-1234, ACME-12345"

    redacted, counts = redactor.redact_text(text, Redactions())

    assert redacted == ("[TERM_1], [TERM_2], [TERM_3] [TERM_4], C++ Labs, [TERM_5], ACME-12345")
    assert counts == {"TERM": 5}


def test_patterns_take_time_in_proportion_to_the_text() -> None:
    """Python's own expressions would not come back from this one."""
    redactor = create_redactor(PrivacyConfig(patterns=(r"(a|aa|a?)+b",)), strict=True)

    assert redactor.redact_text("a" * 50_000, Redactions())[1] == {}


def test_what_may_leave_can_be_named() -> None:
    redactor = create_redactor(PrivacyConfig(keep=("Info@Example.com",)), strict=True)

    redacted, _ = redactor.redact_text("info@example.com or max@example.com", Redactions())

    assert redacted == "info@example.com or [EMAIL_1]"


def test_configured_countries_are_the_ones_whose_numbers_are_found() -> None:
    danish = create_redactor(PrivacyConfig(regions=("dk",)), strict=True)

    assert danish.redact_text("så 20 12 34 56", Redactions())[0] == "så [PHONE_1]"
    assert REDACTOR.redact_text("så 20 12 34 56", Redactions())[1] == {}


def test_the_map_shows_and_gives_nothing() -> None:
    found = REDACTOR.redact([{"role": "user", "content": MAIL}])

    assert MAIL not in repr(found) + repr(found.redactions) + repr(REDACTOR)
    assert repr(found.redactions) == "Redactions(1 placeholders)"
    for give in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            give(found.redactions)
