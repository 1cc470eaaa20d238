"""A form for the answer of a model that thinks first."""

from __future__ import annotations

from edge_llm.constrain.grammar import Concat, Either, Grammar, Marker, Regex, Until
from edge_llm.prompt.calls.reasoning import Reasoning

_GAP = Regex("[ \\n]{0,2}")
"""What models write between their thoughts and their answer."""


def after_thoughts(grammar: Grammar, reasoning: Reasoning, opens_thinking: bool) -> Grammar:
    """The grammar of a whole answer: thoughts and then `grammar`, or that alone.

    `opens_thinking`: the prompt has begun the thoughts already.
    """
    rest = Concat((Until(Marker(reasoning.close)), _GAP, grammar))
    return rest if opens_thinking else Either((Concat((Marker(reasoning.open), rest)), grammar))
