"""Prints what a grammar gives, so that whoever widens it sees what they wrote."""

from __future__ import annotations

import itertools
import random

from scripts.builtin.chat import render_body, render_prompt
from scripts.builtin.domain import Domain
from scripts.builtin.generator import Generator
from scripts.builtin.sentences import draft_pattern, finish
from scripts.builtin.words import Names


def print_samples(domain: Domain, intent: str, *, count: int, seed: int) -> None:
    """Prints `count` conversations, or with an `intent` every pattern of it, read at random.

    Raises:
        ValueError: the domain has no such intent.
    """
    if intent and intent not in domain.intents:
        raise ValueError(f"no intent {intent!r}; there are: {', '.join(domain.intents)}")
    if not intent:
        for conversation in itertools.islice(Generator(seed, domain=domain), count):
            prompt = render_prompt(conversation.messages[:-1])
            print(f"{prompt}\n  -> {render_body(conversation.messages[-1])}\n")
        return
    rng = random.Random(seed)
    for pattern in domain.grammar.patterns:
        if pattern.intent == intent:
            command = finish(draft_pattern(pattern, Names(rng, domain)), rng)
            faults = [fault for call in command.calls for fault in domain.intents.find_faults(call)]
            print(f"{command.text}\n  -> {command.calls} {faults or ''}")
