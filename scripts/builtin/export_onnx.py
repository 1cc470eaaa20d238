"""Writes the built-in model as a folder for any ONNX runtime.

The source is the GGUF file, not the checkpoint: what is made from its values is the same model, and
whoever has the repository can make it again.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import gguf
import onnx
from tokenizers import AddedToken, Tokenizer

from edge_llm.quantize import QuantizeOptions, quantize_onnx
from scripts.builtin.chat import UNSURE_KEY
from scripts.builtin.domain import Domain, load_domain
from scripts.builtin.generator import Generator
from scripts.builtin.gguf_copy import GGUFModel, read_gguf
from scripts.builtin.onnx_graph import DecoderShape, build_decoder
from scripts.builtin.tokenizer import create_tokenizer

FILE_NAME = "model_int8.onnx"

_BLOCK_SIZE = 32
"""That of Q8_0, so that every weight of the GGUF file stays what it is."""
_SAME = 1e-6
"""KL divergence in nats above which rounding would have happened after all."""
_NUM_COMPARED = 40
"""Conversations that the result and its float32 form are compared on."""


def export_onnx(
    gguf_path: Path, folder: Path, float_folder: Path, domain: Domain | None = None
) -> None:
    """Writes the model in the file `gguf_path` to `folder`, and in float32 to `float_folder`.

    The two are compared on texts of `domain`, the home if none is given.

    Raises:
        QuantizationRefusedError: the two do not compute the same; nothing was replaced.
    """
    write_folder(read_gguf(gguf_path), float_folder)
    report = quantize_onnx(
        float_folder,
        folder,
        # Not q8: where a processor has no dot products of bytes, as in a Raspberry Pi 4, that
        # unpacks all weights for every token.
        QuantizeOptions("disk8", block_size=_BLOCK_SIZE),
        text=_sample_text(domain or load_domain()),
        max_kl=_SAME,
        replace=True,
        file_name=FILE_NAME,
    )
    print(json.dumps(report.record(), indent=1))


def _sample_text(domain: Domain) -> str:
    conversations = itertools.islice(Generator("export", domain=domain), _NUM_COMPARED)
    return "\n".join(message.content for c in conversations for message in c.messages)


def decoder_shape(model: GGUFModel) -> DecoderShape:
    """The sizes that the metadata gives."""
    return DecoderShape(
        num_layers=model["llama.block_count"],
        num_heads=model["llama.attention.head_count"],
        num_kv_heads=model["llama.attention.head_count_kv"],
        hidden_size=model["llama.embedding_length"],
        context_length=model["llama.context_length"],
        rope_theta=model["llama.rope.freq_base"],
        # Stored in float32; the trainer means the number with few digits.
        norm_eps=round(model["llama.attention.layer_norm_rms_epsilon"], 9),
    )


def write_folder(model: GGUFModel, folder: Path) -> Path:
    """Writes `model.onnx` in float32 and the files beside it; the path of the graph."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(build_decoder(decoder_shape(model), model.weights), path)
    build_tokenizer(model).save(str(folder / "tokenizer.json"))
    for name, content in _configs(model).items():
        text = json.dumps(content, indent=2, ensure_ascii=False)
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    template = model["tokenizer.chat_template"]
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return path


def build_tokenizer(model: GGUFModel) -> Tokenizer:
    """The tokenizer of the file, control tokens included."""
    tokens: list[str] = model["tokenizer.ggml.tokens"]
    kinds: list[int] = model["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in model["tokenizer.ggml.merges"]]
    tokenizer = create_tokenizer({token: index for index, token in enumerate(tokens)}, merges)
    control = [t for t, k in zip(tokens, kinds, strict=True) if k == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return tokenizer


def _configs(model: GGUFModel) -> dict[str, dict[str, Any]]:
    shape = decoder_shape(model)
    ids = {
        "bos_token_id": model["tokenizer.ggml.bos_token_id"],
        "eos_token_id": model["tokenizer.ggml.eos_token_id"],
        "pad_token_id": model["tokenizer.ggml.padding_token_id"],
    }
    tokens: list[str] = model["tokenizer.ggml.tokens"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(tokens),
        "hidden_size": shape.hidden_size,
        "intermediate_size": model["llama.feed_forward_length"],
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context_length,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
        UNSURE_KEY: model[UNSURE_KEY],
        **ids,
    }
    names = {key.removesuffix("_id"): tokens[index] for key, index in ids.items()}
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.context_length,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        **names,
    }
    return {
        "config.json": config,
        # The model is meant to be greedy, as `general.sampling.temp` says in the GGUF file.
        "generation_config.json": {"do_sample": False, **ids},
        "tokenizer_config.json": tokenizer_config,
    }
