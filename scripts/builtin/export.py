"""Writes a trained model as a GGUF file that llama.cpp runs."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from scripts.builtin.chat import CHAT_TEMPLATE, END, END_OF_TEXT, SPECIAL_TOKENS, UNSURE, UNSURE_KEY
from scripts.builtin.domain import About
from scripts.builtin.model import ModelConfig, Transformer

_FILE_TYPES = {
    Kind.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
    Kind.F16: gguf.LlamaFileType.MOSTLY_F16,
}


def load_model(run_dir: Path) -> Transformer:
    """The model in the checkpoint of `run_dir`, ready to run."""
    state = torch.load(run_dir / "checkpoint.pt", weights_only=True)
    model = Transformer(ModelConfig(**state["config"]))
    model.load_state_dict(state["model"])
    model.eval()
    return model


def export_gguf(run_dir: Path, path: Path, about: About, kind: Kind = Kind.Q8_0) -> None:
    """Writes the checkpoint of `run_dir` to `path`: matrices as `kind`, norms as float32."""
    model = load_model(run_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    _write_about(writer, about)
    _write_shape(writer, model, kind)
    _write_tokenizer(writer, run_dir / "tokenizer.json")
    for name, tensor in name_tensors(model).items():
        _write_tensor(writer, name, tensor, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{path}: {path.stat().st_size} bytes")


def name_tensors(model: Transformer) -> dict[str, NDArray[np.float32]]:
    """The weights under their GGUF names, each as (rows out, columns in)."""
    tensors = {"token_embd.weight": model.embedding.weight, "output_norm.weight": model.norm.weight}
    for index, block in enumerate(model.blocks):
        q, k, v = block.attn.qkv.weight.chunk(3)
        gate, up = block.ffn.gate_up.weight.chunk(2)
        layer = {
            "attn_norm": block.attn_norm.weight,
            "attn_q": q,
            "attn_k": k,
            "attn_v": v,
            "attn_output": block.attn.output.weight,
            "ffn_norm": block.ffn_norm.weight,
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": block.ffn.down.weight,
        }
        tensors |= {f"blk.{index}.{name}.weight": weight for name, weight in layer.items()}
    return {name: weight.detach().float().contiguous().numpy() for name, weight in tensors.items()}


def _write_about(writer: gguf.GGUFWriter, about: About) -> None:
    writer.add_name(about.name)
    writer.add_version(about.version)
    if about.license:
        writer.add_license(about.license)
    writer.add_description(about.description)
    writer.add_languages([about.language])
    # Read by llama.cpp as the default of its sampler: the model is meant to be greedy.
    writer.add_float32("general.sampling.temp", 0.0)


def _write_shape(writer: gguf.GGUFWriter, model: Transformer, kind: Kind) -> None:
    config = model.config
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.ffn_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_heads)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(_FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _write_tokenizer(writer: gguf.GGUFWriter, path: Path) -> None:
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    ids: dict[str, int] = model["vocab"]
    tokens = sorted(ids, key=ids.__getitem__)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in SPECIAL_TOKENS else normal for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(ids[END_OF_TEXT])
    writer.add_pad_token_id(ids[END_OF_TEXT])
    writer.add_eos_token_id(ids[END])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.add_string(UNSURE_KEY, UNSURE)


def _write_tensor(
    writer: gguf.GGUFWriter, name: str, tensor: NDArray[np.float32], kind: Kind
) -> None:
    if tensor.ndim == 1:
        writer.add_tensor(name, tensor)
        return
    writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
