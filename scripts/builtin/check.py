"""Checks that llama.cpp reads an exported file as torch reads the checkpoint.

It compares tokens, logits and greedy answers; needs torch and llama.cpp in one environment.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray
from tokenizers import Tokenizer

from scripts.builtin.chat import CHAT_TEMPLATE, END, Message, render_body, render_prompt
from scripts.builtin.conversations import Conversation
from scripts.builtin.domain import Domain
from scripts.builtin.export import load_model
from scripts.builtin.generator import Generator
from scripts.builtin.model import Transformer
from scripts.builtin.runner import MAX_ANSWER_TOKENS, Runner
from scripts.builtin.tokenizer import load_tokenizer
from scripts.builtin.train import encode

NUM_TOKENIZED = 2000
NUM_COMPARED = 40


def check_export(run_dir: Path, path: Path, domain: Domain) -> None:
    """Prints how far llama.cpp and torch agree.

    Raises:
        ValueError: a text has other tokens in llama.cpp, or the template renders other text.
    """
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(run_dir / "tokenizer.json")
    runner = Runner(path, keep_logits=True)
    generator = Generator("check", domain=domain)
    conversations = list(itertools.islice(generator, NUM_TOKENIZED))
    for conversation in conversations:
        _check_tokens(tokenizer, runner, conversation)
        _check_template(conversation.messages)
    print(f"tokens and template agree on {NUM_TOKENIZED} conversations")
    _compare_outputs(load_model(run_dir), tokenizer, runner, conversations[:NUM_COMPARED])


def _check_tokens(tokenizer: Tokenizer, runner: Runner, conversation: Conversation) -> None:
    prompt = render_prompt(conversation.messages)
    expected = tokenizer.encode(prompt).ids
    if runner.tokenize(prompt) != expected:
        raise ValueError(f"llama.cpp has other tokens for {prompt!r}")
    trained = encode(tokenizer, conversation).ids
    if trained != expected[: len(trained)]:
        raise ValueError(f"cutting changes the tokens of {prompt!r}")


def _check_template(messages: tuple[Message, ...]) -> None:
    environment = ImmutableSandboxedEnvironment()
    # Jinja's own tojson escapes apostrophes and more; programs that serve models replace it.
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    tools, turns = _to_openai(messages)
    rendered = environment.from_string(CHAT_TEMPLATE).render(
        messages=turns, tools=tools, add_generation_prompt=True
    )
    learned = [m for m in messages if m.is_unsure]
    if not learned and rendered != render_prompt(messages):
        raise ValueError(f"the template does not render {render_prompt(messages)!r}")


def _to_openai(messages: tuple[Message, ...]) -> tuple[list[object], list[object]]:
    """The tools and the messages as an application sends them."""
    tools: list[object] = []
    turns: list[object] = []
    for message in messages:
        if message.role == "tools":
            tools += [_to_tool(line) for line in message.content.splitlines()]
            continue
        calls = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
        turns.append({"role": message.role, "content": message.content, "tool_calls": calls})
    return tools, turns


def _to_tool(line: str) -> object:
    name, _, slots = line.removesuffix(")").partition("(")
    properties = {slot: {"type": "string"} for slot in slots.split(",") if slot}
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def _compare_outputs(
    model: Transformer, tokenizer: Tokenizer, runner: Runner, conversations: list[Conversation]
) -> None:
    """Prints the largest difference of logits and how many greedy answers are equal."""
    largest, num_equal = 0.0, 0
    for conversation in conversations:
        prompt = render_prompt(conversation.messages[:-1])
        ids = tokenizer.encode(prompt + render_body(conversation.messages[-1])).ids
        gap = np.abs(_torch_logits(model, ids) - _llama_logits(runner, ids)).max()
        largest = max(largest, float(gap))
        num_equal += _torch_answer(model, tokenizer, prompt) == runner.answer(prompt)
    print(f"largest difference of logits {largest:.3f} (Q8_0 against float32)")
    print(f"greedy answers equal: {num_equal} of {len(conversations)}")


def _torch_logits(model: Transformer, ids: list[int]) -> NDArray[np.float32]:
    with torch.inference_mode():
        logits: NDArray[np.float32] = model.logits(model(torch.tensor([ids])))[0].numpy()
    return logits


def _llama_logits(runner: Runner, ids: list[int]) -> NDArray[np.float32]:
    runner.llama.reset()
    runner.llama.eval(ids)
    scores: NDArray[np.float32] = runner.llama.scores[: len(ids)]
    return scores


def _torch_answer(model: Transformer, tokenizer: Tokenizer, prompt: str) -> str:
    ids = tokenizer.encode(prompt).ids
    start, end_id = len(ids), tokenizer.token_to_id(END)
    while len(ids) - start < MAX_ANSWER_TOKENS:
        token = int(_torch_logits(model, ids)[-1].argmax())
        if token == end_id:
            break
        ids.append(token)
    text: str = tokenizer.decode(ids[start:], skip_special_tokens=False)
    return text
