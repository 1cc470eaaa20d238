"""The grammar of a whole answer that may, must or must not call tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_llm.constrain.calls.sections import Section, section_of
from edge_llm.constrain.calls.spelling import concat, spell
from edge_llm.constrain.grammar import (
    Either,
    FreeText,
    Grammar,
    Marker,
    Part,
    Regex,
    Repeat,
    Trigger,
    Triggered,
    Until,
)
from edge_llm.errors import GrammarError
from edge_llm.prompt.calls.base import CallFormat, OfferedTool
from edge_llm.prompt.calls.reasoning import HARMONY, THINK, Reasoning

Thoughts: TypeAlias = Literal["none", "possible", "open"]
"""Whether an answer may begin with thoughts, or is in the middle of them."""

_SPACE = Regex(r"[ \n]{0,4}")
"""What models write between markers, and what closes their thoughts when these grow too long."""


@dataclass(frozen=True, slots=True)
class CallRules:
    """What a request wants of the calls in its answer."""

    tools: tuple[OfferedTool, ...]
    """Those that may be called: all that were offered, or the one that was named."""
    choice: Literal["auto", "none", "required"] = "auto"
    most: int | None = None
    """At most so many calls; None: any number."""


def answer_grammar(
    format: CallFormat,
    rules: CallRules | None,
    *,
    reasoning: Reasoning = THINK,
    thoughts: Thoughts = "none",
    text: Grammar | None = None,
) -> Grammar:
    """What an answer has to look like; `text` is what it must be where it does not call.

    Without `rules` there are no calls, and there must be a `text`.
    `required` begins with a call as soon as thoughts are over. Otherwise the model speaks freely
    until it writes the marker of a call. `none` forbids the markers.

    Raises:
        GrammarError: no grammar is known for the family.
    """
    if rules is not None:
        answer = _answer(format, rules, text)
    else:
        answer = concat(spell(format.words_open, format.markers), text or FreeText())
    if reasoning is HARMONY:
        return concat(_harmony_thoughts(), answer)
    end = Marker(reasoning.close)
    if thoughts == "open":
        return concat(Until(end), _SPACE, answer)
    if thoughts == "possible":
        begin = spell(reasoning.open, _markers(format, reasoning))
        return Either((concat(_SPACE, begin, Until(end), _SPACE, answer), answer))
    return answer


def _answer(format: CallFormat, rules: CallRules, text: Grammar | None) -> Grammar:
    most = 1 if format.max_calls == 1 else rules.most
    section = section_of(format.layout, rules.tools, format.markers, most)
    if not section.opening:
        return _bare(format, rules, section, text)
    if format.words_open:
        return _addressed(format, rules, section, text, most)
    trigger = _trigger(section)
    if rules.choice == "none":
        return text or Triggered((trigger,), at_most=0)
    # A list says in itself how many calls it has; one more section would be too many.
    num_later = None if most is None else 0
    if rules.choice == "required":
        return concat(section.opening, section.body, Triggered((trigger,), at_most=num_later))
    if text is not None:
        return Either((concat(section.opening, section.body), text))
    return Triggered((trigger,), at_most=most)


def _trigger(section: Section) -> Trigger:
    begin, *rest = section.opening
    if not isinstance(begin, str | Marker):
        raise GrammarError("a section begins with text or a marker")
    return Trigger(begin, concat(tuple(rest), section.body))


def _bare(format: CallFormat, rules: CallRules, section: Section, text: Grammar | None) -> Grammar:
    """For families in which nothing marks a call: an answer is one from its start, or is text."""
    call = concat(section.body)
    if rules.choice == "required":
        return call
    free = FreeText(without=tuple(Marker(one) for one in format.markers))
    said = text or Either(("", concat(_NO_CALL, free)))
    return said if rules.choice == "none" else Either((call, said))


def _addressed(
    format: CallFormat,
    rules: CallRules,
    section: Section,
    text: Grammar | None,
    most: int | None,
) -> Grammar:
    """For families that say of words too whom they are for."""
    trigger = _trigger(section)
    has_one = format.max_calls == 1
    later: Part = "" if has_one else Triggered((trigger,), at_most=None if most is None else 0)
    # The prompt may end with the first marker already.
    opening = () if format.prompt_ends_with else section.opening
    call = concat(opening, section.body, later)
    if rules.choice == "required":
        return call
    calls_later = 0 if has_one or rules.choice == "none" else most
    free: Part = (
        FreeText(without=tuple(Marker(one) for one in format.markers))
        if has_one
        else Triggered((trigger,), at_most=calls_later)
    )
    words = concat(spell(format.words_open, format.markers), text or free)
    return words if rules.choice == "none" else Either((call, words))


_NO_CALL = Regex(r'[^{\s]|\{[^"]|\{"[^nt]|\{"n[^a]|\{"t[^y]|\s+[^{\s]')
"""Beginnings of a text that is no bare call: those are `{"name"` and `{"type"`."""


def _harmony_thoughts() -> Part:
    """Any number of thoughts and preambles, each a message of its own."""
    channel, message, end = Marker("<|channel|>"), Marker("<|message|>"), Marker("<|end|>")
    names = Either(("analysis", "commentary"))
    return Repeat(concat(channel, names, message, Until(end), Marker("<|start|>"), "assistant"))


def _markers(format: CallFormat, reasoning: Reasoning) -> Sequence[str]:
    """Control tokens in the marker before thoughts."""
    whole = () if "\n" in reasoning.open else (reasoning.open,)
    return (*format.markers, *whole)
