"""A model's chat template: messages to the text of a prompt.

The text alone is not safe to tokenise with special tokens on: `prompt.encode` does it right.
Rendering is safe from any thread. jinja2 is imported when the first template is compiled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edge_llm.errors import ChatTemplateError, InvalidParameterError
from edge_llm.prompt.tokenizer import Vocabulary

if TYPE_CHECKING:
    from edge_llm.prompt.sandbox import CompiledTemplate

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For a model that brings no template of its own."""

MAX_SOURCE_CHARS = 1_000_000
_RESERVED = frozenset({"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"})
_THINKING_NAMES = frozenset({"enable_thinking", "thinking", "thinking_budget", "reasoning_effort"})
_PROBE = "q7Zk3vPw"


class ChatTemplate:
    """One compiled template and what is known about it."""

    def __init__(self, source: str, *, bos_token: str, eos_token: str) -> None:
        """Compile `source`.

        Raises:
            ChatTemplateError: it is no template.
        """
        if len(source) > MAX_SOURCE_CHARS:
            raise ChatTemplateError(f"the chat template has {len(source)} characters: too many")
        self.source = source
        self.bos_token = bos_token
        self.eos_token = eos_token
        self._template = _compile(source)
        self._facts = self._template.facts

    @classmethod
    def for_tokenizer(cls, source: str, tokenizer: Vocabulary) -> ChatTemplate:
        """Compile `source` with the BOS and EOS spellings of `tokenizer`.

        Raises:
            ChatTemplateError: it is no template.
        """

        def spell(token_id: int | None) -> str:
            return "" if token_id is None else tokenizer.token_bytes(token_id).decode()

        return cls(source, bos_token=spell(tokenizer.bos_id), eos_token=spell(tokenizer.eos_id))

    @property
    def supports_tools(self) -> bool:
        """Whether it has a place for tool definitions."""
        return "tools" in self._facts.names

    @property
    def supports_thinking(self) -> bool:
        """Whether an option switches the model's reasoning on or off."""
        return not _THINKING_NAMES.isdisjoint(self._facts.names)

    @cached_property
    def supports_system(self) -> bool:
        """Whether a system message reaches the prompt."""
        system = {"role": "system", "content": _PROBE}
        return self._writes_probe([system, {"role": "user", "content": "x"}])

    @cached_property
    def needs_content_parts(self) -> bool:
        """Whether it takes content only as a list of parts, never as a string."""
        part = {"type": "text", "text": _PROBE}
        return not self._writes_probe([{"role": "user", "content": _PROBE}]) and self._writes_probe(
            [{"role": "user", "content": [part]}]
        )

    @property
    def needles(self) -> frozenset[str]:
        """Texts that it cuts out of strings, or cuts strings at."""
        return self._facts.needles

    @property
    def texts(self) -> frozenset[str]:
        """Every piece of text that it can write by itself."""
        return self._facts.texts

    @property
    def changes_case(self) -> bool:
        """Whether it writes some string in upper or lower case."""
        return self._facts.changes_case

    @property
    def unshielded(self) -> frozenset[str]:
        """What it may do to strings that `prompt.shield` does not see through; a guess by names."""
        return self._facts.unshielded

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **template_options: Any,
    ) -> str:
        """The prompt's text for messages as `prompt.messages.normalize_messages` gives them.

        Raises:
            ChatTemplateError: the template refused, failed, or ran too long.
            InvalidParameterError: an option has the name of something the template is always given.
        """
        from edge_llm.prompt import sandbox

        reserved = _RESERVED.intersection(template_options)
        if reserved:
            raise InvalidParameterError(f"{min(reserved)!r} cannot be a template option")
        variables = {
            **template_options,
            "messages": list(messages),
            # transformers leaves `tools` defined but None, and templates test for either.
            "tools": list(tools) if tools else None,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
        }
        try:
            return self._template.render(variables)
        except sandbox.TEMPLATE_FAILURES as exc:
            if not tools:
                # A template that is only meant for use with tools may still read them.
                with contextlib.suppress(*sandbox.TEMPLATE_FAILURES):
                    return self._template.render({**variables, "tools": []})
            raise ChatTemplateError(f"the chat template failed: {_reason(exc)}") from exc

    def _writes_probe(self, messages: list[dict[str, Any]]) -> bool:
        try:
            return _PROBE in self.render(messages)
        except ChatTemplateError:
            return False


def _compile(source: str) -> CompiledTemplate:
    from edge_llm.prompt import sandbox

    try:
        return sandbox.CompiledTemplate(source)
    except (*sandbox.TEMPLATE_FAILURES, SyntaxError) as exc:
        # SyntaxError: Python itself refuses deeply nested blocks.
        raise ChatTemplateError(f"the chat template does not parse: {_reason(exc)}") from exc


def _reason(exc: BaseException) -> str:
    if isinstance(exc, RecursionError):
        return "it calls itself without end"
    return str(exc) or type(exc).__name__
