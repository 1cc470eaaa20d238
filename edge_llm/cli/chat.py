"""`edge-llm chat`: one answer, or a conversation."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

from edge_llm.cli.explain import explain
from edge_llm.cli.output import create_printer, printable
from edge_llm.config import merge_sampling
from edge_llm.errors import ConfigError
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.structured.form import parse_form
from edge_llm.types import Answer, SamplingOptions, SamplingParams


def run(  # noqa: PLR0913 — each is one option of the command line
    prompt: str | None,
    *,
    model: str | None,
    load_options: Mapping[str, Any],
    request_options: Mapping[str, Any],
    as_json: bool,
    verbose: bool,
    explains: bool = False,
) -> None:
    """Answer `prompt`, or standard input, or hold a conversation.

    Raises:
        EdgeLLMError: whatever kept the answer from being given.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    if prompt is None and sys.stdin.isatty():
        if as_json:
            raise ConfigError("--json needs a prompt", hint="edge-llm chat --json 'hello'")
        _check_early(request_options)
        _converse(model, load_options, request_options, explains=explains)
        return
    text = _read_prompt(prompt)
    _check_early(request_options)
    with EdgeLLM(model, **load_options) as llm:
        if as_json:
            print(json.dumps(llm.chat(text, **request_options).to_dict(), ensure_ascii=False))
        else:
            show_stream(llm, text, request_options, explains=explains)


def show_stream(
    llm: EdgeLLM, messages: Any, request_options: Mapping[str, Any], *, explains: bool = False
) -> Answer | None:
    """Print an answer while it comes; Ctrl-C stops it and is passed on.

    With `explains`, where it came from and why follows on standard error.
    """
    printer = create_printer(sys.stdout)
    answer = None
    with contextlib.closing(llm.stream(messages, **request_options)) as chunks:
        try:
            for chunk in chunks:
                printer.show(chunk)
                answer = chunk.answer
        except KeyboardInterrupt:
            printer.finish(None)
            raise
    printer.finish(answer)
    if explains and answer is not None:
        print(printable("\n".join(explain(answer))), file=sys.stderr)
    return answer


def _check_early(request_options: Mapping[str, Any]) -> None:
    """Refuse a wrong value before the seconds that loading a model takes."""
    sampling = {k: v for k, v in request_options.items() if k in SamplingOptions.__annotations__}
    merge_sampling(SamplingParams(), sampling)
    form = parse_form(dict(request_options))
    if form is not None:
        form.prepare()


def _read_prompt(prompt: str | None) -> str:
    text = sys.stdin.read() if prompt in (None, "-") else prompt
    if not text or not text.strip():
        raise ConfigError("the prompt is empty", hint="edge-llm chat 'turn on the kitchen lights'")
    return text


def _converse(
    model: str | None,
    load_options: Mapping[str, Any],
    request_options: Mapping[str, Any],
    *,
    explains: bool,
) -> None:
    # prompt_toolkit is wanted only by those who talk.
    from edge_llm.cli.conversation import Conversation

    options = {"overflow": "drop_oldest", **load_options}
    with EdgeLLM(model, **options) as llm:
        Conversation(llm, request_options, explains=explains).run()
