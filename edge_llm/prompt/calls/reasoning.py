"""How families set their thoughts apart from their answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The markers around thoughts."""

    name: str
    open: str
    close: str

    @property
    def markers(self) -> tuple[str, str]:
        """Both."""
        return self.open, self.close


THINK = Reasoning("think", "<think>", "</think>")
"""Qwen3, DeepSeek, SmolLM3, Granite 3.3, LFM2.5 and most others."""
BRACKETS = Reasoning("brackets", "[THINK]", "[/THINK]")
"""Source: the chat template of Ministral 3 Reasoning 2512, in llama.cpp models/templates."""
CHANNEL = Reasoning("channel", "<|channel>thought\n", "<channel|>")
"""Source: the chat template of Gemma 4 31B it, in llama.cpp models/templates."""
HARMONY = Reasoning("harmony", "<|channel|>analysis<|message|>", "<|end|>")
"""Source: https://developers.openai.com/cookbook/articles/openai-harmony, read 2026-11-22."""
