"""How families set their thoughts apart from their answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The markers around thoughts."""

    name: str
    open: str
    close: str
    mark: str
    """What the source of a template has that writes them."""
    after: str = ""
    """What the model writes between its thoughts and its answer."""


THINK = Reasoning("think", "<think>", "</think>", "<think>", "\n\n")
"""Qwen3, DeepSeek, SmolLM3, Granite 3.3, LFM2.5 and most others."""
BRACKETS = Reasoning("brackets", "[THINK]", "[/THINK]", "[THINK]")
"""Source: the chat template of Ministral 3 Reasoning 2512, in llama.cpp models/templates."""
CHANNEL = Reasoning("channel", "<|channel>thought\n", "<channel|>", "<|channel>")
"""Source: the chat template of Gemma 4 31B it, in llama.cpp models/templates."""
HARMONY = Reasoning(
    "harmony",
    "<|channel|>analysis<|message|>",
    "<|end|>",
    "<|channel|>",
    "<|start|>assistant",
)
"""Source: https://developers.openai.com/cookbook/articles/openai-harmony, read 2026-11-22."""

REASONINGS = (BRACKETS, CHANNEL, HARMONY, THINK)


def find_reasoning(source: str) -> Reasoning:
    """How the family of a template thinks; as most do, where the template does not tell."""
    return next((one for one in REASONINGS if one.mark in source), THINK)


def reasoning_named(name: str) -> Reasoning:
    """The one that has this name in `ModelFacts`."""
    return next((one for one in REASONINGS if one.name == name), THINK)
