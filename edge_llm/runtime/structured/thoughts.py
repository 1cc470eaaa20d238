"""A form for the answer of a model that thinks first."""

from __future__ import annotations

from edge_llm.constrain.grammar import Concat, Either, Grammar, Marker, Regex, Until
from edge_llm.prompt.parse import THINK_CLOSE, THINK_OPEN

_GAP = Regex("[ \\n]{0,2}")
"""What models write between their thoughts and their answer."""


def after_thoughts(grammar: Grammar, thinks: bool, opens_thinking: bool) -> Grammar:
    """The grammar of a whole answer: thoughts, where the model has any, and then `grammar`.

    `opens_thinking`: the prompt has begun the thoughts already.
    """
    if not thinks:
        return grammar
    rest = Concat((Until(Marker(THINK_CLOSE)), _GAP, grammar))
    return rest if opens_thinking else Either((Concat((Marker(THINK_OPEN), rest)), grammar))
