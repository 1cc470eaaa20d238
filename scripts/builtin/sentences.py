"""Turns patterns into what a user types and the calls it asks for.

Text that must be copied stays marked until the sentence has its final spelling, so a slot always
repeats exactly what was typed.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from scripts.builtin.fillers import Fill
from scripts.builtin.grammar import Form, Pattern
from scripts.builtin.home_fillers import FILLERS
from scripts.builtin.intents import SlotType, SlotValue, ToolCall
from scripts.builtin.noise import slip
from scripts.builtin.templates import SlotRef, expand, split_words
from scripts.builtin.words import Names

_PREFIXES = split_words(
    "please |please |please |can you |could you |would you |will you |hey |i want you to |"
    "i'd like you to |can you please |could you please |ok |okay |hi, |go ahead and |now |just |"
    "quickly |hey, can you |i need you to |computer, |hey computer |ok house, |assistant, |"
    "could you kindly |kindly |do me a favor and |be so kind and |i would like you to |alright |"
    "so, |um |uh |well, |let's |could i ask you to |can you go ahead and |if you could |"
    "it would be great if you could |would you please |you should |time to |we need to |i want to |"
    "can we |could we |can i get you to |right, |oh and |hello, please |good morning, please |"
    "when you get a chance, |real quick, |yo |hey there, |before i forget, |one more thing, "
)
_SUFFIXES = split_words(
    " please|, please| now| for me| thanks|, thanks| right now| thank you| would you|, will you|"
    " immediately| asap|, ok| okay| if you can| if possible| when you can| for a bit| real quick|"
    ", thank you very much| at once| already| mate| buddy|, if you don't mind| again"
)
_JOINERS = (
    *(" and ",) * 6,
    *(", ", " then ", " and then ", ", then ", ", and ", ". ", " and also ", ", also ", " plus "),
    *(" and after that ", " as well as ", " and please ", "; ", " & "),
)


class Copy(NamedTuple):
    """Where a piece of text is copied to: the call it belongs to and the slot."""

    call: int
    slot: str
    is_open: bool = False
    """Whether the slot takes any text: what followed it would belong to it."""


class Piece(NamedTuple):
    """A stretch of a sentence, copied into a slot or not."""

    text: str
    copy: Copy | None = None


@dataclass(slots=True)
class Draft:
    """A sentence before spelling: its pieces and its calls without the copied slots."""

    pieces: list[Piece] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    form: Form = Form.COMMAND

    @property
    def is_open_ended(self) -> bool:
        """Whether the last piece takes any text that would follow."""
        copies = [piece.copy for piece in self.pieces if piece.text]
        return copies[-1] is not None and copies[-1].is_open


class Command(NamedTuple):
    """What the user typed and the calls it asks for."""

    text: str
    calls: list[ToolCall]


def draft_pattern(pattern: Pattern, names: Names) -> Draft:
    """One reading of `pattern`, with all its slots filled."""
    intents, macros = names.domain.intents, names.domain.grammar.macros
    draft = Draft(form=pattern.form)
    shared: dict[str, SlotValue] = {}
    copied: list[set[str]] = [set()]
    for part in expand(pattern.template, names.rng, macros):
        fill = _fill(part, names) if isinstance(part, SlotRef) else Fill(part)
        shared |= fill.values
        if not fill.copied:
            draft.pieces.append(Piece(fill.text))
            continue
        if fill.copied in copied[-1]:
            copied.append(set())
        copied[-1].add(fill.copied)
        is_open = intents.slot_type(pattern.intent, fill.copied) is SlotType.OPEN
        draft.pieces.append(Piece(fill.text, Copy(len(copied) - 1, fill.copied, is_open)))
    draft.calls = [ToolCall(pattern.intent, dict(shared)) for _ in copied]
    return draft


def _fill(ref: SlotRef, names: Names) -> Fill:
    if ref.filler == "command":
        return Fill(_draft_delayed(names), copied=ref.argument or "conversation_command")
    return FILLERS[ref.filler](names, ref.argument)


def _draft_delayed(names: Names) -> str:
    """The text of a command that is to be run later."""
    pattern = names.rng.choice(names.domain.waiting_patterns)
    return "".join(piece.text for piece in draft_pattern(pattern, names).pieces)


def join_drafts(drafts: Sequence[Draft], rng: random.Random) -> Draft:
    """One sentence that says all `drafts`; open-ended ones go last, and only one is kept."""
    closed = [draft for draft in drafts if not draft.is_open_ended]
    ordered = closed + [draft for draft in drafts if draft.is_open_ended][:1]
    joined = Draft(form=ordered[0].form)
    for index, draft in enumerate(ordered):
        if index > 0:
            is_last = index == len(ordered) - 1
            between = rng.choice((", ", ", ", " and ", " "))
            joined.pieces.append(Piece(rng.choice(_JOINERS) if is_last else between))
        offset = len(joined.calls)
        joined.pieces.extend(_shift(piece, offset) for piece in draft.pieces)
        joined.calls.extend(draft.calls)
    return joined


def _shift(piece: Piece, offset: int) -> Piece:
    if piece.copy is None:
        return piece
    return Piece(piece.text, piece.copy._replace(call=piece.copy.call + offset))


def make_polite(draft: Draft, rng: random.Random) -> Draft:
    """`draft` with words such as `please` around it, now and then."""
    pieces = list(draft.pieces)
    if draft.form is Form.COMMAND and rng.random() < 0.3:
        pieces.insert(0, Piece(rng.choice(_PREFIXES)))
    if not draft.is_open_ended and draft.form is not Form.QUESTION and rng.random() < 0.12:
        pieces.append(Piece(rng.choice(_SUFFIXES)))
    return Draft(pieces, draft.calls, draft.form)


def finish(
    draft: Draft,
    rng: random.Random,
    *,
    slips: float = 0.0,
    listed: Mapping[str, str] = MappingProxyType({}),
) -> Command:
    """`draft` in one spelling: case and punctuation chosen at random, `slips` of its words wrong.

    `listed` gives the spelling that a home's list has for names and areas; without it a slot
    repeats what was typed, slips included.
    """
    meant = [piece for piece in draft.pieces if piece.text]
    typed = [_slip_piece(piece, rng, slips) for piece in meant] if slips else meant
    spelled = spell_pieces(typed, draft.form, rng)
    copies: list[dict[str, SlotValue]] = [{} for _ in draft.calls]
    for said, piece in zip(meant, spelled, strict=False):
        if piece.copy is not None:
            value = listed.get(said.text, piece.text)
            copies[piece.copy.call][piece.copy.slot] = value
    calls = [
        ToolCall(call.name, call.arguments | copied)
        for call, copied in zip(draft.calls, copies, strict=True)
    ]
    return Command(_join(spelled), calls)


def _slip_piece(piece: Piece, rng: random.Random, share: float) -> Piece:
    return Piece(slip(piece.text, rng, share, is_name=piece.copy is not None), piece.copy)


def _join(pieces: Sequence[Piece]) -> str:
    """The text of `pieces`; a word that was lost leaves no gap."""
    return re.sub(" {2,}", " ", "".join(piece.text for piece in pieces)).strip()


def spell_pieces(pieces: list[Piece], form: Form, rng: random.Random) -> list[Piece]:
    """`pieces` in one of the spellings people use; copied text changes with the rest."""
    style = rng.choices(("lower", "sentence", "title", "upper"), (48, 40, 9, 3))[0]
    if style == "upper":
        pieces = _map(pieces, str.upper)
    elif style != "lower":
        pieces = _map(pieces, lambda text: re.sub(r"\bi\b", "I", text))
        if style == "title":
            pieces = [
                Piece(string.capwords(piece.text, " "), piece.copy)
                if piece.copy and not piece.copy.is_open
                else piece
                for piece in pieces
            ]
        head = pieces[0]
        pieces = [Piece(head.text[:1].upper() + head.text[1:], head.copy), *pieces[1:]]
    if rng.random() < (0.2 if style == "lower" else 0.7):
        pieces = [*pieces, Piece("?" if form is Form.QUESTION else rng.choice("...!"))]
    return pieces


def _map(pieces: list[Piece], change: Callable[[str], str]) -> list[Piece]:
    return [Piece(change(piece.text), piece.copy) for piece in pieces]
