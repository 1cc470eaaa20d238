"""Writes tiny ONNX decoders with random weights, in the layouts that exporters produce.

`write_folder` makes what people download: graph, weights, tokenizer and JSON files together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tests.support.gguf_files import CHATML, byte_text
from tests.support.onnx_wire import (
    GraphBuilder,
    encode_graph,
    encode_model,
    encode_node,
    encode_tensor,
    encode_value_info,
)

Storage: TypeAlias = Literal["float", "int4", "int8"]
Weights: TypeAlias = dict[str, NDArray[Any]]

SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
MERGES = (("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "t"), ("Ġt", "h"))
CONTRIB = "com.microsoft"
EPSILON = 1e-5
BLOCK_SIZE = 32


@dataclass(frozen=True)
class TinyOnnx:
    """The shape and the layout of a tiny decoder."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 96
    vocab: int = 256 + len(MERGES) + len(SPECIAL_TOKENS)
    context: int = 256
    grouped: bool = True
    """GroupQueryAttention, else attention spelled out with a growing past."""
    position_ids: bool = False
    dtype: Literal["float32", "float16"] = "float32"
    """Of activations, KV cache and logits."""
    storage: Storage = "float"
    logits_to_keep: bool = False
    merged: bool = False
    """Two branches behind `use_cache_branch`, with a past and without."""
    masks_past: bool = True
    """Unset, tokens behind a past see those after them: how old exports were traced."""
    scale: float = 0.1
    """Standard deviation of the weights."""
    seed: int = 0

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.width // self.heads


@dataclass
class Decoder:
    """Builds the graph of a `TinyOnnx`."""

    spec: TinyOnnx
    graph: GraphBuilder
    weights: Weights
    past: bool = True
    """Whether the KV cache so far is an input."""
    names: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        """Add everything from `input_ids` to `logits`."""
        self._prepare()
        hidden = self.graph.node("Gather", [self._constant("embedding"), "input_ids"])
        for layer in range(self.spec.layers):
            normed = self._norm(hidden, f"{layer}.attention_norm")
            attend = self._grouped if self.spec.grouped else self._plain
            mixed = self._linear(attend(layer, normed), f"{layer}.output")
            hidden = self.graph.node("Add", [hidden, mixed])
            hidden = self.graph.node("Add", [hidden, self._feed_forward(layer, hidden)])
        hidden = self._norm(hidden, "norm")
        if self.spec.logits_to_keep:
            hidden = self._last(hidden)
        self._linear(hidden, "head", output=self.names.get("logits", "logits"))

    def _ints(self, *values: int) -> str:
        name = "ints_" + "_".join(map(str, values)).replace("-", "m")
        return self.graph.constant(name, values, "int64")

    def _scalar(self, value: int, dtype: str = "int64") -> str:
        return self.graph.constant(f"{dtype}_{value}".replace("-", "m"), value, dtype)

    def _number(self, value: float) -> str:
        return self.graph.constant(f"number_{value}", value, self.spec.dtype)

    def _constant(self, name: str) -> str:
        return self.graph.constant(name, self.weights[name], self.spec.dtype)

    def _prepare(self) -> None:
        node = self.graph.node
        cosines, sines = rotations(self.spec)
        self.graph.constant("cosines", cosines, self.spec.dtype)
        self.graph.constant("sines", sines, self.spec.dtype)
        if self.spec.grouped:
            counts = node("ReduceSum", ["attention_mask", self._ints(1)], keepdims=0)
            less = node("Sub", [counts, self._scalar(1)])
            self.names["seqlens"] = node("Cast", [less], to=6)
            shape = node("Shape", ["attention_mask"])
            total = node("Gather", [shape, self._scalar(1)], axis=0)
            self.names["total"] = node("Cast", [total], to=6)
            return
        shape = node("Shape", ["input_ids"])
        length = node("Gather", [shape, self._scalar(1)], axis=0)
        total = node("Gather", [node("Shape", ["attention_mask"]), self._scalar(1)], axis=0)
        begin = node("Sub", [total, length])
        rows = node("Range", [begin, total, self._scalar(1)])
        columns = node("Range", [self._scalar(0), total, self._scalar(1)])
        causal = node(
            "LessOrEqual",
            [columns, node("Unsqueeze", [rows, self._ints(1)])],
        )
        shown = node("Cast", [node("Unsqueeze", ["attention_mask", self._ints(1, 2, 3)])], to=9)
        # A row of columns for each token: batch, 1, 1, length, total.
        self.names["visible"] = node("And", [causal, shown])
        if self.past and not self.spec.masks_past:
            self.names["visible"] = shown
        positions = (
            "position_ids" if self.spec.position_ids else node("Unsqueeze", [rows, self._ints(0)])
        )
        for name in ("cosines", "sines"):
            taken = node("Gather", [name, positions])
            self.names[name] = node("Unsqueeze", [taken, self._ints(1)])

    def _norm(self, hidden: str, name: str) -> str:
        node = self.graph.node
        weight = self._constant(name)
        if self.spec.grouped:
            return node("SimplifiedLayerNormalization", [hidden, weight], axis=-1, epsilon=EPSILON)
        squares = node("Mul", [hidden, hidden])
        mean = node("ReduceMean", [squares], axes=[-1], keepdims=1)
        root = node("Sqrt", [node("Add", [mean, self._number(EPSILON)])])
        return node("Mul", [node("Div", [hidden, root]), weight])

    def _linear(self, values: str, name: str, output: str = "") -> str:
        weight = self.weights[name]
        outputs = [output] if output else []
        if self.spec.storage == "int4":
            return self._int4(values, name, weight, outputs)
        if self.spec.storage == "int8":
            return self._int8(values, name, weight, outputs)
        return self.graph.node("MatMul", [values, self._constant(name)], *outputs)

    def _int4(self, values: str, name: str, weight: NDArray[Any], outputs: list[str]) -> str:
        packed, scales = pack_int4(weight)
        rows, columns = weight.shape
        inputs = [
            values,
            self.graph.constant(f"{name}_q4", packed, "uint8"),
            self.graph.constant(f"{name}_scales", scales, self.spec.dtype),
        ]
        return self.graph.node(
            "MatMulNBits", inputs, *outputs, domain=CONTRIB,
            K=rows, N=columns, bits=4, block_size=BLOCK_SIZE, accuracy_level=4,
        )  # fmt: skip

    def _int8(self, values: str, name: str, weight: NDArray[Any], outputs: list[str]) -> str:
        node = self.graph.node
        scale = float(np.abs(weight).max() / 127) or 1.0
        stored = np.round(weight / scale).astype("int8")
        quantised = f"{self.graph.prefix}{name}_u8"
        node(
            "DynamicQuantizeLinear", [values], quantised, f"{quantised}_scale", f"{quantised}_zero"
        )
        inputs = [quantised, self.graph.constant(f"{name}_i8", stored, "int8"), f"{quantised}_zero"]
        product = node("Cast", [node("MatMulInteger", inputs)], to=1)
        factor = node("Mul", [f"{quantised}_scale", self.graph.constant(f"{name}_scale", scale)])
        return node("Mul", [product, factor], *outputs)

    def _feed_forward(self, layer: int, hidden: str) -> str:
        node = self.graph.node
        normed = self._norm(hidden, f"{layer}.feed_forward_norm")
        gate = self._linear(normed, f"{layer}.gate")
        active = node("Mul", [gate, node("Sigmoid", [gate])])
        up = self._linear(normed, f"{layer}.up")
        return self._linear(node("Mul", [active, up]), f"{layer}.down")

    def _cache_names(self, layer: int) -> tuple[list[str], list[str]]:
        past = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        present = [self.names.get(n, n) for n in (f"present.{layer}.key", f"present.{layer}.value")]
        return past, present

    def _grouped(self, layer: int, normed: str) -> str:
        past, present = self._cache_names(layer)
        query, key, value = (
            self._linear(normed, f"{layer}.{part}") for part in ("query", "key", "value")
        )
        rotary = ["", ""]
        if self.spec.position_ids:
            query, key = (
                self.graph.node(
                    "RotaryEmbedding",
                    [self._split(part, heads), "position_ids", "cosines", "sines"],
                    domain=CONTRIB,
                )
                for part, heads in ((query, self.spec.heads), (key, self.spec.kv_heads))
            )
            query, key = (self._join(part) for part in (query, key))
        else:
            rotary = ["cosines", "sines"]
        lengths = [self.names["seqlens"], self.names["total"]]
        return self.graph.node(
            "GroupQueryAttention", [query, key, value, *past, *lengths, *rotary],
            f"{self.graph.prefix}mixed_{layer}", *present, domain=CONTRIB,
            num_heads=self.spec.heads, kv_num_heads=self.spec.kv_heads,
            do_rotary=int(not self.spec.position_ids), scale=float(self.spec.head_size**-0.5),
        )  # fmt: skip

    def _split(self, values: str, heads: int) -> str:
        shape = self._ints(0, 0, heads, self.spec.head_size)
        return self.graph.node(
            "Transpose", [self.graph.node("Reshape", [values, shape])], perm=[0, 2, 1, 3]
        )

    def _join(self, values: str) -> str:
        turned = self.graph.node("Transpose", [values], perm=[0, 2, 1, 3])
        return self.graph.node("Reshape", [turned, self._ints(0, 0, -1)])

    def _rotate(self, values: str) -> str:
        node = self.graph.node
        half = self.spec.head_size // 2
        first = node("Slice", [values, self._ints(0), self._ints(half), self._ints(3)])
        second = node("Slice", [values, self._ints(half), self._ints(2 * half), self._ints(3)])
        cosines, sines = self.names["cosines"], self.names["sines"]

        def turned(one: str, other: str, op: str) -> str:
            return node(op, [node("Mul", [one, cosines]), node("Mul", [other, sines])])

        return node("Concat", [turned(first, second, "Sub"), turned(second, first, "Add")], axis=3)

    def _plain(self, layer: int, normed: str) -> str:
        node = self.graph.node
        past, present = self._cache_names(layer)
        spec = self.spec
        query = self._rotate(self._split(self._linear(normed, f"{layer}.query"), spec.heads))
        key = self._rotate(self._split(self._linear(normed, f"{layer}.key"), spec.kv_heads))
        value = self._split(self._linear(normed, f"{layer}.value"), spec.kv_heads)
        keys, values = (
            node("Concat", [old, new], name, axis=2) if self.past else node("Identity", [new], name)
            for old, new, name in zip(past, (key, value), present, strict=True)
        )
        grouped = node(
            "Reshape",
            [query, self._ints(0, spec.kv_heads, spec.heads // spec.kv_heads, -1, spec.head_size)],
        )
        keys5 = node("Transpose", [node("Unsqueeze", [keys, self._ints(2)])], perm=[0, 1, 2, 4, 3])
        scores = node("MatMul", [grouped, keys5])
        scores = node("Mul", [scores, self._number(spec.head_size**-0.5)])
        lowest = self._number(float(np.finfo(spec.dtype).min))
        scores = node("Where", [self.names["visible"], scores, lowest])
        shares = node("Softmax", [scores], axis=-1)
        mixed = node("MatMul", [shares, node("Unsqueeze", [values, self._ints(2)])])
        flat = node("Reshape", [mixed, self._ints(0, spec.heads, -1, spec.head_size)])
        return self._join(flat)

    def _last(self, hidden: str) -> str:
        node = self.graph.node
        begin = node("Unsqueeze", [node("Neg", ["num_logits_to_keep"]), self._ints(0)])
        end = self._ints(2**62)
        return node("Slice", [hidden, begin, end, self._ints(1)])


def random_weights(spec: TinyOnnx) -> Weights:
    """Random matrices (inputs, outputs) of a Llama-like model; norms are 1."""
    rng = np.random.default_rng(spec.seed)
    key_width = spec.kv_heads * spec.head_size

    def matrix(*shape: int) -> NDArray[Any]:
        return rng.standard_normal(shape, np.float32) * np.float32(spec.scale)

    weights: Weights = {
        "embedding": matrix(spec.vocab, spec.width),
        "norm": np.ones(spec.width, np.float32),
    }
    for layer in range(spec.layers):
        weights |= {
            f"{layer}.attention_norm": np.ones(spec.width, np.float32),
            f"{layer}.query": matrix(spec.width, spec.width),
            f"{layer}.key": matrix(spec.width, key_width),
            f"{layer}.value": matrix(spec.width, key_width),
            f"{layer}.output": matrix(spec.width, spec.width),
            f"{layer}.feed_forward_norm": np.ones(spec.width, np.float32),
            f"{layer}.gate": matrix(spec.width, spec.feed_forward),
            f"{layer}.up": matrix(spec.width, spec.feed_forward),
            f"{layer}.down": matrix(spec.feed_forward, spec.width),
        }
    weights["head"] = matrix(spec.width, spec.vocab)
    return weights


def rotations(spec: TinyOnnx) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines of the rotary embedding: (context, head_size / 2)."""
    half = spec.head_size // 2
    frequencies = 10000.0 ** -(np.arange(half) / half)
    angles = np.arange(spec.context)[:, None] * frequencies
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def pack_int4(weight: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A matrix (inputs, outputs) as MatMulNBits stores it: symmetric blocks along the inputs."""
    rows, columns = weight.shape
    blocks = weight.T.reshape(columns, rows // BLOCK_SIZE, BLOCK_SIZE)
    scales = np.maximum(np.abs(blocks).max(axis=2) / 7, 1e-8).astype(np.float32)
    levels = np.clip(np.round(blocks / scales[..., None]) + 8, 0, 15).astype(np.uint8)
    return levels[..., 0::2] | levels[..., 1::2] << 4, scales.reshape(-1)


def tiny_onnx(spec: TinyOnnx, weights: Weights | None = None) -> tuple[bytes, bytes]:
    """A whole ONNX file with its weights inside, and nothing."""
    return _encode(spec, weights or random_weights(spec), None)


def _encode(spec: TinyOnnx, weights: Weights, data_name: str | None) -> tuple[bytes, bytes]:
    builder = GraphBuilder()
    if spec.merged:
        _merge(spec, builder, weights)
    else:
        Decoder(spec, builder, weights).build()
    tensors, data = [], bytearray()
    for name, values in builder.initializers.items():
        if data_name is None or values.nbytes < 256:
            tensors.append(encode_tensor(name, values))
        else:
            tensors.append(encode_tensor(name, values, (data_name, len(data))))
            data += values.tobytes() + bytes(-values.nbytes % 4096)
    inputs, outputs = _interface(spec)
    graph = encode_graph(builder.nodes, tensors, inputs, outputs)
    return encode_model(graph, {"": 17, CONTRIB: 1}), bytes(data)


def _merge(spec: TinyOnnx, outer: GraphBuilder, weights: Weights) -> None:
    """Both branches in an `If`, which share their initializers."""
    outputs = ["logits", *_present_names(spec)]
    branches = {}
    for branch, past in (("then_branch", True), ("else_branch", False)):
        inner = GraphBuilder(prefix=f"{branch}_", initializers=outer.initializers)
        names = {name: f"{branch}_{name}" for name in outputs}
        Decoder(spec, inner, weights, past, names).build()
        types = [("logits", _logits_shape(spec)), *((n, _past_shape(spec)) for n in outputs[1:])]
        results = [encode_value_info(names[n], spec.dtype, shape) for n, shape in types]
        branches[branch] = encode_graph(inner.nodes, [], [], results, branch)
    outer.nodes.append(encode_node("If", ["use_cache_branch"], outputs, "if", "", branches))


def _present_names(spec: TinyOnnx) -> list[str]:
    return [f"present.{i}.{part}" for i in range(spec.layers) for part in ("key", "value")]


def _past_shape(spec: TinyOnnx) -> list[int | str]:
    return ["batch_size", spec.kv_heads, "past_length", spec.head_size]


def _logits_shape(spec: TinyOnnx) -> list[int | str]:
    return ["batch_size", "sequence_length", spec.vocab]


def _interface(spec: TinyOnnx) -> tuple[list[bytes], list[bytes]]:
    tokens: list[int | str] = ["batch_size", "sequence_length"]
    inputs = [
        encode_value_info("input_ids", "int64", tokens),
        encode_value_info("attention_mask", "int64", ["batch_size", "total_length"]),
    ]
    if spec.position_ids:
        inputs.append(encode_value_info("position_ids", "int64", tokens))
    for name in _present_names(spec):
        past = name.replace("present", "past_key_values")
        inputs.append(encode_value_info(past, spec.dtype, _past_shape(spec)))
    if spec.logits_to_keep:
        inputs.append(encode_value_info("num_logits_to_keep", "int64", []))
    if spec.merged:
        inputs.append(encode_value_info("use_cache_branch", "bool", [1]))
    outputs = [encode_value_info("logits", spec.dtype, _logits_shape(spec))]
    present: list[int | str] = ["batch_size", spec.kv_heads, "total_length", spec.head_size]
    outputs += [encode_value_info(name, spec.dtype, present) for name in _present_names(spec)]
    return inputs, outputs


def write_onnx(
    path: Path, spec: TinyOnnx | None = None, *, external: bool = False, **changes: object
) -> Path:
    """Write a model of `spec` with `changes`, beside it its weights if they are `external`."""
    spec = replace(spec or TinyOnnx(), **changes)  # type: ignore[arg-type]
    data_name = f"{path.name}_data" if external else None
    model, data = _encode(spec, random_weights(spec), data_name)
    path.write_bytes(model)
    if data_name is not None:
        path.with_name(data_name).write_bytes(data)
    return path


def write_folder(
    folder: Path, spec: TinyOnnx | None = None, *, external: bool = False, **changes: object
) -> Path:
    """Write a model with its tokenizer and configuration, as it is downloaded; its .onnx file."""
    spec = replace(spec or TinyOnnx(), **changes)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "tokenizer.json", byte_level_tokenizer())
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>"})
    write_json(
        folder / "config.json", {"model_type": "tiny", "max_position_embeddings": spec.context}
    )
    write_json(folder / "generation_config.json", {"do_sample": True, "temperature": 0.5})
    (folder / "chat_template.jinja").write_text(CHATML)
    return write_onnx(folder / "model.onnx", spec, external=external)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def added_token(token_id: int, content: str, **changes: Any) -> dict[str, Any]:
    """An entry of `added_tokens` in a tokenizer.json."""
    entry = {
        "id": token_id, "content": content, "single_word": False, "lstrip": False,
        "rstrip": False, "normalized": False, "special": True,
    }  # fmt: skip
    return entry | changes


def byte_level_tokenizer(
    special: Sequence[str] = SPECIAL_TOKENS, user_defined: Sequence[str] = ()
) -> dict[str, Any]:
    """A tokenizer.json of 256 bytes, a few merges and some added tokens; byte `b` is token `b`."""
    tokens = [byte_text(byte) for byte in range(256)] + ["".join(merge) for merge in MERGES]
    added = [added_token(len(tokens) + i, text) for i, text in enumerate(special)]
    first = len(tokens) + len(added)
    added += [added_token(first + i, t, special=False) for i, t in enumerate(user_defined)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level | {"use_regex": True},
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: token_id for token_id, text in enumerate(tokens)},
            "merges": [list(merge) for merge in MERGES],
        },
    }


def sentencepiece_tokenizer(
    kind: Literal["BPE", "Unigram"] = "BPE",
    prefix: Literal["first", "always", "never", "normalizer"] = "always",
) -> dict[str, Any]:
    """A tokenizer.json as transformers makes it of a SentencePiece model, with byte fallback."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", "h", "e", "l", "o", "t", "he", "ll", "hell", "hello", "▁hello", "▁t"]
    merges = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["▁", "hello"], ["▁", "t"]]
    added = [added_token(i, pieces[i]) for i in range(3)]
    added.append(added_token(len(pieces), "<|im_end|>", rstrip=True))
    model: dict[str, Any] = {
        "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
        "vocab": {piece: i for i, piece in enumerate(pieces)}, "merges": merges,
    }  # fmt: skip
    if kind == "Unigram":
        vocab = [[piece, -1.0 - i / 100 if i > 258 else 0.0] for i, piece in enumerate(pieces)]
        model = {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": True}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    normalizers = [{"type": "Prepend", "prepend": "▁"}, spaces]
    metaspace = {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": prefix, "split": False,
    }  # fmt: skip
    by_normalizer = prefix == "normalizer"
    return {
        "version": "1.0",
        "truncation": {
            "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0,
        },
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if by_normalizer else None,
        "pre_tokenizer": None if by_normalizer else metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": model,
    }  # fmt: skip
