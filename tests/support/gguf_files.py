"""Writes tiny GGUF models with random weights, in milliseconds and without other packages.

Also takes arbitrary metadata and tensors, so that tests can write files that are wrong on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.hub.gguf_types import GGML_TYPES, SCALARS, ValueType

U8, U16, U32, I32 = ValueType.UINT8, ValueType.UINT16, ValueType.UINT32, ValueType.INT32
F32, BOOL, STRING, ARRAY = ValueType.FLOAT32, ValueType.BOOL, ValueType.STRING, ValueType.ARRAY

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
TYPE_CODES = {kind.name: code for code, kind in GGML_TYPES.items()}

Scalar = int | float | bool | str
Value = Scalar | Sequence[int] | Sequence[float] | Sequence[str] | Sequence[bytes]


@dataclass(frozen=True)
class Key:
    """One metadata entry; for an array, `element` is the type of its elements."""

    name: str
    kind: ValueType
    value: Value
    element: ValueType = ValueType.UINT32


@dataclass(frozen=True)
class Tensor:
    """One tensor with its data as bytes."""

    name: str
    shape: tuple[int, ...]
    kind: str
    data: bytes


@dataclass(frozen=True)
class TinySpec:
    """The shape of a tiny model."""

    arch: str = "llama"
    layers: int = 2
    width: int = 32
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 64
    context: int = 256
    experts: int = 0
    tokenizer: str = "gpt2"
    storage: str = "F32"
    chat_template: str | None = CHATML
    tied: bool = True
    letters: bool = False
    """An output head that, at temperature 0, only ever says `a` to `z` and never ends."""
    seed: int = 0
    extra: tuple[Key, ...] = field(default=())
    extra_tokens: int = 0


def write_tiny_model(path: Path, spec: TinySpec | None = None, **changes: object) -> Path:
    """Write a model of `spec` with `changes` and return its path."""
    spec = replace(spec or TinySpec(), **changes)  # type: ignore[arg-type]
    path.write_bytes(tiny_model(spec))
    return path


def tiny_model(spec: TinySpec) -> bytes:
    """A whole GGUF file."""
    return build_gguf(tiny_metadata(spec), tiny_tensors(spec))


def tiny_metadata(spec: TinySpec) -> list[Key]:
    """The metadata of `spec`; `extra` replaces entries of the same name."""
    arch = spec.arch
    keys = [
        Key("general.architecture", STRING, arch),
        Key("general.type", STRING, "model"),
        Key("general.name", STRING, f"Tiny {arch}"),
        Key("general.license", STRING, "apache-2.0"),
        Key("general.sampling.temp", F32, 0.5),
        Key("general.file_type", U32, 0),
        Key(f"{arch}.context_length", U32, spec.context),
        Key(f"{arch}.embedding_length", U32, spec.width),
        Key(f"{arch}.block_count", U32, spec.layers),
        Key(f"{arch}.feed_forward_length", U32, spec.feed_forward),
        Key(f"{arch}.rope.dimension_count", U32, spec.width // spec.heads),
        Key(f"{arch}.rope.freq_base", F32, 10000.0),
        Key(f"{arch}.attention.head_count", U32, spec.heads),
        Key(f"{arch}.attention.head_count_kv", U32, spec.kv_heads),
        Key(f"{arch}.attention.key_length", U32, spec.width // spec.heads),
        Key(f"{arch}.attention.value_length", U32, spec.width // spec.heads),
        Key(f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5),
    ]
    if spec.experts:
        keys += [
            Key(f"{arch}.expert_count", U32, spec.experts),
            Key(f"{arch}.expert_used_count", U32, 2),
            Key(f"{arch}.expert_feed_forward_length", U32, spec.feed_forward),
        ]
    keys += bpe_vocabulary(spec) if spec.tokenizer == "gpt2" else spm_vocabulary(spec)
    if spec.chat_template is not None:
        keys.append(Key("tokenizer.chat_template", STRING, spec.chat_template))
    replaced = {key.name for key in spec.extra}
    return [key for key in keys if key.name not in replaced] + list(spec.extra)


def bpe_vocabulary(spec: TinySpec) -> list[Key]:
    """256 bytes, a few merges, three control tokens."""
    merges = ["h e", "l l", "he ll", "hell o", "Ġ t", "Ġt h"]
    tokens = [byte_text(byte) for byte in range(256)]
    tokens += ["he", "ll", "hell", "hello", "Ġt", "Ġth"]
    tokens += [f"tok{index}" for index in range(spec.extra_tokens)]
    types = [NORMAL] * len(tokens) + [CONTROL] * 3
    tokens += ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    return [
        Key("tokenizer.ggml.model", STRING, "gpt2"),
        Key("tokenizer.ggml.pre", STRING, "gpt-2"),
        Key("tokenizer.ggml.tokens", ARRAY, tokens, STRING),
        Key("tokenizer.ggml.token_type", ARRAY, types, I32),
        Key("tokenizer.ggml.merges", ARRAY, merges, STRING),
        Key("tokenizer.ggml.bos_token_id", U32, len(tokens) - 1),
        Key("tokenizer.ggml.eos_token_id", U32, len(tokens) - 2),
        Key("tokenizer.ggml.padding_token_id", U32, len(tokens) - 1),
        Key("tokenizer.ggml.add_bos_token", BOOL, False),
    ]


def spm_vocabulary(spec: TinySpec) -> list[Key]:
    """A SentencePiece vocabulary with byte fallback."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256
    words = ["▁", "h", "e", "l", "o", "he", "ll", "hell", "hello", "▁hello"]
    tokens += words + [f"tok{index}" for index in range(spec.extra_tokens)]
    types += [NORMAL] * (len(tokens) - len(types))
    tokens += ["<|im_start|>", "<|im_end|>"]
    types += [CONTROL] * 2
    return [
        Key("tokenizer.ggml.model", STRING, "llama"),
        Key("tokenizer.ggml.tokens", ARRAY, tokens, STRING),
        Key("tokenizer.ggml.token_type", ARRAY, types, I32),
        Key("tokenizer.ggml.scores", ARRAY, [-float(i) for i in range(len(tokens))], F32),
        Key("tokenizer.ggml.bos_token_id", U32, 1),
        Key("tokenizer.ggml.eos_token_id", U32, 2),
        Key("tokenizer.ggml.unknown_token_id", U32, 0),
    ]


def byte_text(byte: int) -> str:
    """How byte-level BPE spells a byte (GPT-2's `bytes_to_unicode`)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    if byte in printable:
        return chr(byte)
    others = [number for number in range(256) if number not in printable]
    return chr(256 + others.index(byte))


def vocab_size(spec: TinySpec) -> int:
    """Tokens in the vocabulary of `spec`."""
    for key in tiny_metadata(spec):
        if key.name == "tokenizer.ggml.tokens" and isinstance(key.value, list):
            return len(key.value)
    return 0


def tiny_tensors(spec: TinySpec) -> list[Tensor]:
    """Random weights of a Llama-like model; norms are 1."""
    rng = np.random.default_rng(spec.seed)
    head = spec.width // spec.heads

    def matrix(name: str, *shape: int) -> Tensor:
        count = int(np.prod(shape))
        values = rng.standard_normal(count, np.float32) * np.float32(0.1)
        return Tensor(f"{name}.weight", shape, spec.storage, stored(values, spec.storage))

    def vector(name: str, length: int, value: float = 1.0, kind: str = "weight") -> Tensor:
        return Tensor(f"{name}.{kind}", (length,), "F32", np.full(length, value, "<f4").tobytes())

    tensors = [
        matrix("token_embd", spec.width, vocab_size(spec)),
        vector("output_norm", spec.width),
    ]
    if spec.letters:
        rows = np.zeros((vocab_size(spec), spec.width), np.float32)
        rows[ord("a") : ord("z") + 1] = rng.standard_normal((26, spec.width))
        tensors.append(Tensor("output.weight", rows.shape[::-1], "F32", rows.tobytes()))
    elif not spec.tied:
        tensors.append(matrix("output", spec.width, vocab_size(spec)))
    for layer in range(spec.layers):
        block = f"blk.{layer}"
        tensors += [
            vector(f"{block}.attn_norm", spec.width),
            matrix(f"{block}.attn_q", spec.width, head * spec.heads),
            matrix(f"{block}.attn_k", spec.width, head * spec.kv_heads),
            matrix(f"{block}.attn_v", spec.width, head * spec.kv_heads),
            matrix(f"{block}.attn_output", head * spec.heads, spec.width),
            vector(f"{block}.ffn_norm", spec.width),
        ]
        if spec.arch == "qwen2":
            tensors += [
                vector(f"{block}.attn_q", head * spec.heads, 0.1, "bias"),
                vector(f"{block}.attn_k", head * spec.kv_heads, 0.1, "bias"),
                vector(f"{block}.attn_v", head * spec.kv_heads, 0.1, "bias"),
            ]
        if spec.arch in ("qwen3", "qwen3moe", "gemma3"):
            tensors += [vector(f"{block}.attn_q_norm", head), vector(f"{block}.attn_k_norm", head)]
        if spec.arch == "gemma3":
            tensors += [
                vector(f"{block}.post_attention_norm", spec.width),
                vector(f"{block}.post_ffw_norm", spec.width),
            ]
        experts = (spec.experts,) if spec.experts else ()
        suffix = "_exps" if spec.experts else ""
        if spec.experts:
            tensors.append(matrix(f"{block}.ffn_gate_inp", spec.width, spec.experts))
        tensors += [
            matrix(f"{block}.ffn_gate{suffix}", spec.width, spec.feed_forward, *experts),
            matrix(f"{block}.ffn_up{suffix}", spec.width, spec.feed_forward, *experts),
            matrix(f"{block}.ffn_down{suffix}", spec.feed_forward, spec.width, *experts),
        ]
    return tensors


def stored(values: NDArray[np.float32], kind: str) -> bytes:
    """`values` as F32, F16, Q8_0 or Q4_0."""
    if kind == "F32":
        return values.astype("<f4").tobytes()
    if kind == "F16":
        return values.astype("<f2").tobytes()
    blocks = values.reshape(-1, 32)
    peak = np.abs(blocks).max(axis=1, keepdims=True)
    if kind == "Q8_0":
        scale = np.maximum(peak / 127, 1e-8)
        numbers = np.round(blocks / scale).astype("i1").view("u1")
    else:
        scale = np.maximum(peak / 7, 1e-8)
        nibbles = np.clip(np.round(blocks / scale) + 8, 0, 15).astype("u1")
        numbers = nibbles[:, :16] | (nibbles[:, 16:] << 4)
    packed = np.concatenate([scale.astype("<f2").view("u1").reshape(-1, 2), numbers], axis=1)
    return packed.tobytes()


def build_gguf(
    metadata: Iterable[Key], tensors: Iterable[Tensor], *, version: int = 3, alignment: int = 32
) -> bytes:
    """The bytes of a GGUF file with these entries, in this order."""
    keys, infos = list(metadata), list(tensors)
    head = [b"GGUF", pack("<IQQ", version, len(infos), len(keys))]
    head += [encode_string(key.name) + encode_value(key) for key in keys]
    data: list[bytes] = []
    offset = 0
    for tensor in infos:
        head += [
            encode_string(tensor.name),
            pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape),
            pack("<IQ", TYPE_CODES[tensor.kind], offset),
        ]
        padded = tensor.data + bytes(-len(tensor.data) % alignment)
        data.append(padded)
        offset += len(padded)
    start = b"".join(head)
    return start + bytes(-len(start) % alignment) + b"".join(data)


def encode_string(text: str | bytes) -> bytes:
    """A GGUF string."""
    raw = text.encode() if isinstance(text, str) else text
    return pack("<Q", len(raw)) + raw


def encode_value(key: Key) -> bytes:
    """The type and the value of an entry."""
    if key.kind is STRING:
        return pack("<I", key.kind) + encode_string(str(key.value))
    if key.kind is not ARRAY:
        return pack("<I", key.kind) + SCALARS[key.kind].pack(key.value)
    values: list[Any] = list(key.value)  # type: ignore[arg-type]
    head = pack("<IIQ", key.kind, key.element, len(values))
    if key.element is STRING:
        return head + b"".join(encode_string(value) for value in values)
    code = SCALARS[key.element].format[-1]
    return head + pack(f"<{len(values)}{code}", *values)
