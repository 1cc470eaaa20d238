"""What in a model's template and vocabulary a user should know before trusting it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from edge_llm.errors import ChatTemplateError
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.literals import Partitioner
from edge_llm.prompt.shield import protected_tokens
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind, Vocabulary

_MARKS = ("q7Zk3vPa", "q7Zk3vPb", "q7Zk3vPc")
_ROLES = ("user", "assistant", "user")

_LOOKS_LIKE_CONTROL = re.compile(
    r"<\|[^|<>\s]+\|>|<\uff5c[^\uff5c<>]+\uff5c>|</?s>|<(?:bos|eos|pad|unk)>"
    r"|<(?:start|end)_of_\w+>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
)
"""Spellings that models in use give to control tokens alone."""
_SHOWN = 4


class Borders(NamedTuple):
    """What a template writes between two turns of a conversation."""

    after_user: str
    after_assistant: str


def unprotected_turns(template: ChatTemplate, tokens: Iterable[SpecialToken]) -> str | None:
    """A warning where a user can forge turns because they are plain text to this vocabulary."""
    borders = _find_borders(template)
    if isinstance(borders, str):
        return f"turns could not be checked: {borders}"
    partitioner = Partitioner(protected_tokens(tokens, template.source))
    for border in borders:
        if not any(isinstance(part, SpecialToken) for part in partitioner.split(border)):
            return (
                f"the chat template separates turns by {border!r}, which is plain text in this"
                " vocabulary: a message that contains it can pose as another turn"
            )
    return None


def warnings_of(template: ChatTemplate, vocabulary: Vocabulary) -> Iterator[str]:
    """Everything that is wrong, or may be, with how this model is talked to; for people."""
    if warning := unprotected_turns(template, vocabulary.special_tokens):
        yield warning
    for risk in sorted(template.unshielded):
        yield (
            f"the chat template {risk}: what protects its turns cannot see through that, and a"
            " message made for it might pose as another turn"
        )
    yield from _end_warnings(template, vocabulary)


def is_control_spelling(text: str) -> bool:
    """Whether a token is spelled as control tokens of models in use are."""
    return _LOOKS_LIKE_CONTROL.fullmatch(text) is not None


def look_alikes(vocabulary: Vocabulary, ordinary: Iterable[str] = ()) -> Iterator[str]:
    """Warnings about tokens that are spelled like control tokens and are none.

    `ordinary` are those among the tokens that are no special ones.
    """
    found = [
        token.text
        for token in vocabulary.special_tokens
        if token.kind is TokenKind.USER_DEFINED and is_control_spelling(token.text)
    ]
    if found:
        yield (
            f"{_listed(found)} look like control tokens and are user-defined: programs other than"
            " this one turn them into tokens wherever a message spells them"
        )
    if plain := list(ordinary):
        yield (
            f"{_listed(plain)} look like control tokens and are stored as ordinary text: a template"
            " that writes them writes text"
        )


def _end_warnings(template: ChatTemplate, vocabulary: Vocabulary) -> Iterator[str]:
    if vocabulary.eos_id is None:
        yield "the file names no EOS token"
    if not vocabulary.eog_ids:
        yield "no token is known to end a turn: answers end only at max_tokens"
        return
    borders = _find_borders(template)
    if isinstance(borders, str):
        return
    parts = Partitioner(vocabulary.special_tokens).split(borders.after_assistant)
    written = [part for part in parts if isinstance(part, SpecialToken)]
    if written and not any(token.id in vocabulary.eog_ids for token in written):
        yield (
            f"the chat template ends an answer with {written[0].text!r}, which is not known to end"
            " a turn: answers may go on after it"
        )


def _find_borders(template: ChatTemplate) -> Borders | str:
    """What stands between the turns; or why that cannot be told."""
    turns = [{"role": role, "content": mark} for role, mark in zip(_ROLES, _MARKS, strict=True)]
    try:
        text = template.render(turns)
    except ChatTemplateError as exc:
        return exc.message
    positions = [text.find(mark) for mark in _MARKS]
    if min(positions) < 0 or positions != sorted(positions):
        return "the chat template rewrites the messages"
    length = len(_MARKS[0])
    return Borders(*(text[start + length : end] for start, end in itertools.pairwise(positions)))


def _listed(texts: list[str]) -> str:
    shown = ", ".join(map(repr, texts[:_SHOWN]))
    return f"{shown} and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else shown
