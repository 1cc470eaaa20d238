"""Template and vocabulary pairs: the real ones, or a near vocabulary with unused slots renamed."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.vocabularies import CONTROL, USER_DEFINED

QWEN_MARKERS = {
    f"[PAD{151650 + i}]": (text, USER_DEFINED)
    for i, text in enumerate(
        [
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "<tool_response>",
            "</tool_response>",
        ]
    )
}
QWEN_CONTROL_MARKERS = {old: (text, CONTROL) for old, (text, _) in QWEN_MARKERS.items()}
MISTRAL = [
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[TOOL_CONTENT]",
    "[ARGS]",
    "[CALL_ID]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
]
# The last characters of the vocabulary are rare ones, which bytes can spell as well.
RARE_SPM = "計遠교재候房명两ფ才합止"


@dataclass(frozen=True)
class ModelCase:
    name: str
    template: str
    vocabulary: str
    renames: dict[str, tuple[str, int]] = field(default_factory=dict)
    has_tool_turns: bool = False


def _llama3_reserved(texts: list[str], kind: int = CONTROL) -> dict[str, tuple[str, int]]:
    return {f"<|reserved_special_token_{i + 20}|>": (text, kind) for i, text in enumerate(texts)}


MODELS = [
    ModelCase("llama-3.1", "meta-llama-Llama-3.1-8B-Instruct", "llama-bpe", {}, True),
    ModelCase("llama-3.2", "meta-llama-Llama-3.2-3B-Instruct", "llama-bpe", {}, True),
    ModelCase("qwen2.5", "Qwen-Qwen2.5-7B-Instruct", "qwen2", QWEN_MARKERS, True),
    ModelCase("qwen3", "Qwen-Qwen3-0.6B", "qwen2", QWEN_MARKERS, True),
    ModelCase("qwen3-control", "Qwen-Qwen3-0.6B", "qwen2", QWEN_CONTROL_MARKERS, True),
    ModelCase("qwen3-coder", "Qwen3-Coder", "qwen2", QWEN_CONTROL_MARKERS, True),
    ModelCase(
        "gemma-2",
        "google-gemma-2-2b-it",
        "gemma-4",
        {
            "<unused0>": ("<start_of_turn>", CONTROL),
            "<unused1>": ("<end_of_turn>", CONTROL),
            "<table>": ("<table>", USER_DEFINED),
            "<unused3>": ("  ", USER_DEFINED),
            "<unused4>": ("    ", USER_DEFINED),
        },
    ),
    ModelCase("gemma-4", "google-gemma-4-31B-it", "gemma-4", {}, True),
    ModelCase("phi-3.5", "microsoft-Phi-3.5-mini-instruct", "phi-3"),
    ModelCase(
        "mistral-nemo-bpe",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "llama-bpe",
        _llama3_reserved(MISTRAL),
        True,
    ),
    ModelCase(
        "mistral-nemo-spm",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "llama-spm",
        {old: (new, CONTROL) for old, new in zip(RARE_SPM, MISTRAL, strict=True)},
        True,
    ),
    ModelCase(
        "mistral-small",
        "Mistral-Small-3.2-24B-Instruct-2506",
        "llama-bpe",
        _llama3_reserved(MISTRAL),
        True,
    ),
    ModelCase(
        "smollm3",
        "HuggingFaceTB-SmolLM3-3B",
        "llama-bpe",
        {
            **_llama3_reserved(["<|im_start|>", "<|im_end|>"]),
            "<|reserved_special_token_30|>": ("<think>", USER_DEFINED),
            "<|reserved_special_token_31|>": ("</think>", USER_DEFINED),
        },
    ),
    ModelCase(
        "gpt-2-chatml",
        "Qwen-Qwen2.5-7B-Instruct",
        "gpt-2",
        {"Ġgazed": ("<|im_start|>", CONTROL), "Ġinformants": ("<|im_end|>", CONTROL)},
        True,
    ),
    ModelCase(
        "qwen2.5-spm",
        "Qwen-Qwen2.5-7B-Instruct",
        "llama-spm",
        {
            "計": ("<|im_start|>", CONTROL),
            "遠": ("<|im_end|>", CONTROL),
            "교": ("<tool_call>", USER_DEFINED),
            "재": ("</tool_call>", USER_DEFINED),
        },
        True,
    ),
    ModelCase(
        "hermes-3",
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
        "llama-bpe",
        _llama3_reserved(["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]),
        True,
    ),
]
