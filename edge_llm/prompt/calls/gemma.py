"""Gemma: its own notation in Gemma 4 and FunctionGemma, Python in a code block before them.

Gemma 2, 3 and 3n have no place for tools in their template; with tools in the system prompt they
are asked for JSON like every other such model.
Source: the chat template of Gemma 4 31B it, in llama.cpp models/templates;
https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices, read 2026-11-22.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.clause_layout import ClauseLayout
from edge_llm.prompt.calls.python_layout import PythonLayout


def _is_gemma4(evidence: Evidence) -> bool:
    return "<|tool_call>" in evidence.source


def _is_functiongemma(evidence: Evidence) -> bool:
    return "<start_function_call>" in evidence.source


def _is_code(evidence: Evidence) -> bool:
    return "```tool_code" in evidence.source


GEMMA4 = CallFormat(
    "gemma4",
    ClauseLayout("<|tool_call>", "<tool_call|>", '<|"|>'),
    markers=("<|tool_call>", "<tool_call|>", '<|"|>', "<|channel>", "<channel|>"),
    recognise=_is_gemma4,
)
FUNCTIONGEMMA = CallFormat(
    "functiongemma",
    ClauseLayout("<start_function_call>", "<end_function_call>", "<escape>"),
    markers=("<start_function_call>", "<end_function_call>", "<escape>"),
    recognise=_is_functiongemma,
)
TOOL_CODE = CallFormat(
    "gemma-code", PythonLayout("```tool_code\n", "\n```", is_list=False), recognise=_is_code
)
