"""Llama 3.1, 3.2 and 3.3: the whole answer is one JSON object with `parameters`.

Nothing marks it, but for `<|python_tag|>` in the ipython environment. One call at a time: the
template refuses more.
Source: the chat templates of Llama 3.1 8B, 3.2 3B and 3.3 70B, in llama.cpp models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, EitherLayout, Evidence
from edge_llm.prompt.calls.json_layout import JsonLayout
from edge_llm.prompt.calls.python_layout import PythonLayout


def _recognise(evidence: Evidence) -> bool:
    source = evidence.source
    return '"parameters": ' in source and "ipython" in source


FORMAT = CallFormat(
    "llama3",
    EitherLayout(
        (
            JsonLayout("", arguments="parameters", more_opens=("{", "<|python_tag|>{")),
            PythonLayout("<|python_tag|>", "", is_list=False, name_suffix=".call"),
        )
    ),
    markers=("<|python_tag|>",),
    start_opens=("{",),
    is_bare=True,
    max_calls=1,
    recognise=_recognise,
)
