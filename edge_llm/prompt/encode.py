"""Messages to token ids, with the template's control tokens and no one else's.

The rendered prompt is cut only at the special tokens that the template wrote; whatever looks like
one inside a message, a tool or an argument becomes ordinary text. For all other text the ids are
those that llama.cpp gives for the whole prompt with special tokens on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.errors import ChatTemplateError
from edge_llm.prompt.calls.base import CallFormat
from edge_llm.prompt.calls.evidence import format_of
from edge_llm.prompt.calls.reasoning import Reasoning, find_reasoning
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.literals import Partitioner
from edge_llm.prompt.messages import (
    Message,
    check_tools,
    messages_from,
    normalize_messages,
)
from edge_llm.prompt.shield import Shield, protected_tokens
from edge_llm.prompt.tokenizer import SpecialToken, Tokenizer, TokenKind
from edge_llm.prompt.tool_places import ToolPlaces, find_places

__all__ = ["EncodedPrompt", "PromptEncoder", "messages_from"]


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt as the model gets it."""

    token_ids: tuple[int, ...]
    text: str
    """The prompt as the template wrote it, for logs and for people; never tokenise it again."""
    opens_thinking: bool
    """It ends with `<think>`: the answer begins in the middle of the model's reasoning."""


class PromptEncoder:
    """One model's template and vocabulary together; safe to use from any thread."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        protected = protected_tokens(tokenizer.special_tokens, template.source)
        self._tokenizer = tokenizer
        self._template = template
        self._format = format_of(template)
        self._reasoning = find_reasoning(template.source)
        self._places = find_places(template, self._format)
        self._partitioner = Partitioner(tokenizer.special_tokens)
        self._shield = Shield(
            [token.text for token in protected],
            needles=template.needles,
            texts=template.texts,
            any_case=template.changes_case,
        )
        # The unknown token is also what honest text turns into when it cannot be spelled.
        self._protected_ids = frozenset(
            token.id for token in protected if token.kind is not TokenKind.UNKNOWN
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary."""
        return self._tokenizer

    @property
    def template(self) -> ChatTemplate:
        """The chat template."""
        return self._template

    @property
    def format(self) -> CallFormat:
        """How the model calls tools."""
        return self._format

    @property
    def tool_places(self) -> ToolPlaces:
        """What the template can do with tools."""
        return self._places

    @property
    def reasoning(self) -> Reasoning:
        """How the model sets its thoughts apart."""
        return self._reasoning

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **template_options: Any,
    ) -> EncodedPrompt:
        """The prompt that asks the model for the next answer.

        Raises:
            InvalidParameterError: a message, a tool or an option is malformed.
            UnsupportedParameterError: content is not text.
            ChatTemplateError: the template refused the messages.
        """
        if tools:
            check_tools(tools)
        prepared = self._prepare(messages, tools)
        if tools and self._places.place == "xml_tools":
            template_options = {"xml_tools": list(tools), **template_options}
        untrusted = [prepared, list(tools or ()), template_options]
        sentinel = self._shield.pick_sentinel(
            [self._template.source, self._template.bos_token, *_strings(untrusted)]
        )
        shielded = self._render(
            self._cover_messages(prepared, sentinel),
            self._shield.cover(list(tools), sentinel) if tools else None,
            self._shield.cover(template_options, sentinel),
        )
        # A filter that writes ASCII only turns the sentinel into an escape.
        shielded = shielded.replace(f"\\u{ord(sentinel):04x}", sentinel)
        text = shielded.replace(sentinel, "")
        return EncodedPrompt(
            token_ids=tuple(self._tokenize(shielded, sentinel)),
            text=text,
            opens_thinking=text.rstrip().endswith(self._reasoning.open.rstrip()),
        )

    def _prepare(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> list[Message]:
        prepared = self._places.prepare(normalize_messages(messages), tools)
        if prepared[0]["role"] == "system" and not self._template.supports_system:
            prepared = _fold_system(prepared)
        return prepared

    def _cover_messages(self, messages: Sequence[Message], sentinel: str) -> list[Message]:
        covered = self._places.finish([self._cover_message(one, sentinel) for one in messages])
        if self._template.needs_content_parts:
            for message in covered:
                message["content"] = [{"type": "text", "text": message["content"]}]
        return covered

    def _cover_message(self, message: Message, sentinel: str) -> Message:
        rest = {key: value for key, value in message.items() if key != "role"}
        return {"role": message["role"], **self._shield.cover(rest, sentinel)}

    def _render(
        self, messages: list[Message], tools: list[Message] | None, options: dict[str, Any]
    ) -> str:
        try:
            return self._template.render(messages, tools, **options)
        except ChatTemplateError:
            if not any(message.get("tool_calls") for message in messages):
                raise
            # Some templates add a call's arguments to a string, and want them as one.
            return self._template.render(_arguments_as_text(messages), tools, **options)

    def _tokenize(self, shielded: str, sentinel: str) -> list[int]:
        ids: list[int] = []
        for part in self._partitioner.split(shielded):
            if isinstance(part, SpecialToken):
                ids.append(part.id)
            else:
                ids += self._encode_plain(part, sentinel)
        return self._with_bos(ids)

    def _encode_plain(self, fragment: str, sentinel: str) -> list[int]:
        plain = fragment.replace(sentinel, "")
        ids = self._tokenizer.encode(plain)
        if self._protected_ids.isdisjoint(ids):
            return ids
        # A look-alike of a user-defined token, or one that merges happened to build.
        ids = []
        encode: Callable[[str], list[int]] = self._tokenizer.encode
        for piece in filter(None, fragment.split(sentinel)):
            ids += self._encode_piece(piece, encode)
            encode = self._tokenizer.encode_inner
        return ids

    def _encode_piece(self, piece: str, encode: Callable[[str], list[int]]) -> list[int]:
        ids = encode(piece)
        if self._protected_ids.isdisjoint(ids):
            return ids
        ids = encode(piece[0])
        for char in piece[1:]:
            ids += self._tokenizer.encode_inner(char)
        return ids

    def _with_bos(self, ids: list[int]) -> list[int]:
        bos = self._tokenizer.bos_id
        if bos is None:
            return ids
        while ids[:2] == [bos, bos]:
            del ids[0]
        if self._tokenizer.add_bos and ids[:1] != [bos]:
            ids.insert(0, bos)
        return ids


def _fold_system(messages: list[Message]) -> list[Message]:
    """The system message in front of the first user message, for a template that has no place."""
    system, *rest = messages
    for message in rest:
        if message["role"] == "user":
            message["content"] = system["content"] + "\n\n" + message["content"]
            return rest
    return messages


def _arguments_as_text(messages: list[Message]) -> list[Message]:
    result = []
    for message in messages:
        copy = dict(message)
        if "tool_calls" in message:
            copy["tool_calls"] = [_call_as_text(call) for call in message["tool_calls"]]
        result.append(copy)
    return result


def _call_as_text(call: Message) -> Message:
    function = call["function"]
    text = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": {**function, "arguments": text}}


def _strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value, dict keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in value:
            yield from _strings(item)
