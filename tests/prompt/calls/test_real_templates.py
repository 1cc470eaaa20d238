"""The families told by the templates that models ship with."""

from __future__ import annotations

import json

import pytest

from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.calls.base import ParsedToolCall
from edge_llm.prompt.calls.evidence import sample_call
from edge_llm.prompt.calls.probe import ARGUMENTS, NAME
from edge_llm.prompt.calls.registry import format_named
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.parse import OutputParser
from tests.prompt.calls.test_families import CONVERSATION, TOOL
from tests.support.vocabularies import template_source

KNOWN = {
    "meta-llama-Llama-3.1-8B-Instruct": "llama3",
    "meta-llama-Llama-3.2-3B-Instruct": "llama3",
    "meta-llama-Llama-3.3-70B-Instruct": "llama3",
    "Qwen-Qwen2.5-7B-Instruct": "hermes",
    "Qwen-Qwen3-0.6B": "hermes",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": "hermes",
    "ibm-granite-granite-4.0": "hermes",
    "Qwen3-Coder": "qwen-coder",
    "Qwen3.5-4B": "qwen-coder",
    "mistralai-Mistral-Nemo-Instruct-2407": "mistral",
    "Mistral-Small-3.2-24B-Instruct-2506": "mistral-args",
    "mistralai-Ministral-3-14B-Reasoning-2512": "mistral-args",
    "google-gemma-4-31B-it": "gemma4",
    "ibm-granite-granite-3.3-2B-Instruct": "granite",
    "LFM2-8B-A1B": "lfm2",
    "LFM2.5-Instruct": "lfm2",
    "llama-cpp-deepseek-r1": "deepseek",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "deepseek",
    "deepseek-ai-DeepSeek-V3.1": "deepseek-v3.1",
    "openai-gpt-oss-120b": "harmony",
    "meetkai-functionary-medium-v3.1": "functionary-v3.1",
    "meetkai-functionary-medium-v3.2": "functionary-v3.2",
    "google-gemma-2-2b-it": "generic",
    "microsoft-Phi-3.5-mini-instruct": "generic",
}
READ_OFF = [
    "Apertus-8B-Instruct",
    "GLM-4.6",
    "openbmb-MiniCPM5-1B",
    "ByteDance-Seed-OSS",
    "moonshotai-Kimi-K2",
    "NVIDIA-Nemotron-Nano-v2",
    "unsloth-Apriel-1.5",
]
"""Of families that no table knows."""


def encoder(name: str) -> PromptEncoder:
    template = ChatTemplate(template_source(name), bos_token="<s>", eos_token="</s>")
    return PromptEncoder(ByteTokenizer(), template)


@pytest.mark.parametrize(("name", "format"), KNOWN.items(), ids=list(KNOWN))
def test_the_family_of_a_template_is_known(name: str, format: str) -> None:
    assert encoder(name).format.name == format


@pytest.mark.parametrize("name", READ_OFF)
def test_a_family_that_nobody_knows_is_read_off_its_template(name: str) -> None:
    made = encoder(name)
    sample = sample_call(made.template)

    assert made.format.name.startswith("probed:")
    # By its name alone it is found again, as the runtime finds it on the other side of a pipe.
    parser = OutputParser(format=format_named(made.format.name))
    found = parser.add(sample) + parser.finish()
    assert [one for one in found if isinstance(one, ParsedToolCall)] == [
        ParsedToolCall(NAME, dict(ARGUMENTS))
    ]


@pytest.mark.parametrize("name", [*KNOWN, *READ_OFF])
def test_tools_calls_and_results_reach_the_prompt(name: str) -> None:
    """Two calls of one turn, where templates take but one at a time too."""
    made = encoder(name)
    more = {"id": "call_2", "function": {"name": "set", "arguments": '{"a": 2}'}}
    asked = {**CONVERSATION[1], "tool_calls": [*CONVERSATION[1]["tool_calls"], more]}
    results = [
        {"role": "tool", "tool_call_id": f"call_{n}", "content": f"result-{n}"} for n in (1, 2)
    ]
    text = made.encode([CONVERSATION[0], asked, *results], [described()]).text

    assert all(word in text for word in ("set", "result-1", "result-2", "the level"))


def described() -> dict[str, object]:
    level = {"type": "integer", "description": "the level"}
    parameters = {"type": "object", "properties": {"a": level}, "required": ["a"]}
    function = {"name": "set", "description": "sets", "parameters": parameters}
    tool: dict[str, object] = json.loads(json.dumps({**TOOL, "function": function}))
    return tool
