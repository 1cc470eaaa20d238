"""Which family a template belongs to."""

from __future__ import annotations

from edge_llm.prompt.calls import (
    builtin,
    deepseek,
    functionary,
    gemma,
    generic,
    granite,
    harmony,
    hermes,
    lfm2,
    llama3,
    mistral,
    phi4,
    qwen_coder,
    smollm3,
)
from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.probe import PROBED, derive_format, reads_sample, restore_format

GENERIC = generic.FORMAT

FORMATS: tuple[CallFormat, ...] = (
    functionary.RECIPIENT,
    harmony.FORMAT,
    qwen_coder.FORMAT,
    functionary.TAGS,
    deepseek.V31,
    deepseek.R1,
    mistral.NAMED,
    mistral.LIST,
    gemma.GEMMA4,
    gemma.FUNCTIONGEMMA,
    gemma.TOOL_CODE,
    builtin.FORMAT,
    lfm2.FORMAT,
    phi4.FORMAT,
    granite.FORMAT,
    smollm3.FORMAT,
    llama3.FORMAT,
    hermes.FORMAT,
    GENERIC,
)
"""The first that recognises a template has it: those with the rarer marks come first."""

_BY_NAME = {format.name: format for format in FORMATS}


def find_format(evidence: Evidence) -> CallFormat:
    """The family of a template: by its marks, else by how it writes a sample call, else generic.

    Marks alone are not enough where the template writes a call and the family would not read it.
    """
    for format in FORMATS:
        if format.recognise(evidence) and (
            not evidence.sample or reads_sample(format, evidence.sample)
        ):
            return format
    return derive_format(evidence) or GENERIC


def format_named(name: str) -> CallFormat:
    """The format that has this name in `ModelFacts`; the generic one for an unknown name."""
    if name.startswith(PROBED):
        return restore_format(name)
    return _BY_NAME.get(name, GENERIC)
