"""ONNX decoders in the shape of real models with random weights: right for speed, not for answers.

GroupQueryAttention, int4 or int8 matrices in blocks of 32 with int8 arithmetic, a float32 embedding
and weights in a file of their own: what onnxruntime-genai's model builder makes for a CPU.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.onnx_files import TinyOnnx, write_folder, write_json

QWEN2_0_5B = TinyOnnx(
    layers=24, width=896, heads=14, kv_heads=2, feed_forward=4864, vocab=151_936, context=4096,
    storage="int4", scale=0.02,
)  # fmt: skip
"""Source: https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/blob/main/config.json"""


def cached_onnx(name: str, spec: TinyOnnx) -> Path:
    """The .onnx file of a random model, written on first use into the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "edge-llm" / "benchmarks" / name
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        write_folder(partial, spec, external=True)
        write_json(partial / "genai_config.json", genai_config(spec))
        partial.rename(folder)
    return folder / "model.onnx"


def genai_config(spec: TinyOnnx) -> dict[str, object]:
    """What onnxruntime-genai has to know of the model."""
    names = {"key": "key_names", "value": "value_names"}
    past = {f"past_{n}": f"past_key_values.%d.{p}" for p, n in names.items()}
    present = {f"present_{n}": f"present.%d.{p}" for p, n in names.items()}
    decoder = {
        "filename": "model.onnx",
        "head_size": spec.head_size,
        "hidden_size": spec.width,
        "num_attention_heads": spec.heads,
        "num_hidden_layers": spec.layers,
        "num_key_value_heads": spec.kv_heads,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **past},
        "outputs": {"logits": "logits", **present},
    }
    end = spec.vocab - 1
    model = {
        "type": "qwen2", "vocab_size": spec.vocab, "context_length": spec.context,
        "bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder": decoder,
    }  # fmt: skip
    search = {"max_length": spec.context, "past_present_share_buffer": True}
    return {"model": model, "search": search}
