"""The interactive chat: history, multi-line paste, and Ctrl-C that stops the answer only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prompt_toolkit import PromptSession

from edge_llm.cli.chat import show_stream
from edge_llm.device.memory import describe_bytes
from edge_llm.engine.host import ModelFacts
from edge_llm.errors import EdgeLLMError
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.tools.messages import assistant_message

HELP = """\
/clear   start a new conversation
/exit    leave (or Ctrl-D)
Ctrl-C   stop the answer
Pasted text may have several lines."""


class Conversation:
    """One talk between a person at a terminal and a model."""

    def __init__(
        self, llm: EdgeLLM, request_options: Mapping[str, Any], *, explains: bool = False
    ) -> None:
        self._llm = llm
        self._explains = explains
        self._options = request_options
        self._messages: list[dict[str, Any]] = []
        self._session: PromptSession[str] = PromptSession()

    def run(self) -> None:
        """Talk until the person leaves."""
        print(f"edge-llm, {describe_model(self._llm.facts)}; /help for help")
        while True:
            try:
                text = self._session.prompt("> ").strip()
            except KeyboardInterrupt:  # an unfinished line is thrown away
                continue
            except EOFError:
                return
            if text == "/exit":
                return
            self._take(text)

    def _take(self, text: str) -> None:
        if text == "/help":
            print(HELP)
        elif text == "/clear":
            self._messages.clear()
            print("new conversation")
        elif text:
            self._ask(text)

    def _ask(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        try:
            answer = show_stream(
                self._llm, list(self._messages), self._options, explains=self._explains
            )
        except KeyboardInterrupt:
            answer = None
        except EdgeLLMError as error:  # the conversation is not lost for one failed answer
            print(f"error: {error}")
            answer = None
        if answer is None:
            # An unanswered question would only confuse the next one.
            self._messages.pop()
            return
        del self._messages[: answer.dropped_messages]
        self._messages.append(assistant_message(answer))


def describe_model(facts: ModelFacts) -> str:
    """One line: its name, how much it can take in, what it needs."""
    parts = [
        f"model {facts.name} ({facts.file_format.upper()})",
        f"context {facts.max_model_len} tokens",
    ]
    if facts.memory is not None:
        parts.append(f"about {describe_bytes(facts.memory.total)} of memory")
    return ", ".join(parts)
