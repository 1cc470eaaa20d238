"""The built-in model as an ONNX graph in float32, in the operators that decoders are exported with.

One step: token ids and the KV cache so far in, logits and the longer cache out. The past and the
present may share one buffer, and rows of a batch may have different lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
CONTRIB = "com.microsoft"
IR_VERSION = 10
"""Read by every onnxruntime since 1.18."""

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Tensors under their GGUF names, matrices as (rows out, columns in)."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of a Llama-like decoder whose rotary embedding turns neighbouring pairs."""

    num_layers: int
    num_heads: int
    num_kv_heads: int
    hidden_size: int
    context_length: int
    rope_theta: float
    norm_eps: float

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads


def build_decoder(shape: DecoderShape, weights: Weights) -> onnx.ModelProto:
    """The float32 graph of a decoder whose output head is its embedding."""
    return _Builder(shape, weights).build()


class _Builder:
    def __init__(self, shape: DecoderShape, weights: Weights) -> None:
        self._shape = shape
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def build(self) -> onnx.ModelProto:
        vocab_size = self._weights["token_embd.weight"].shape[0]
        self._add_lengths()
        self._add_rotations()
        hidden = self._embed()
        update = ""
        for layer in range(self._shape.num_layers):
            hidden, update = self._add_layer(layer, hidden, update)
        normed, _ = self._norm("/model/norm", "output_norm.weight", hidden, update)
        self._node("Transpose", "/lm_head/Transpose", ["model.embed_tokens.weight"], perm=[1, 0])
        self._node("MatMul", "/lm_head/MatMul", [normed, "/lm_head/Transpose"], ["logits"])
        graph = helper.make_graph(
            self._nodes, "decoder", self._inputs(), self._outputs(vocab_size), self._constants
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)],
            ir_version=IR_VERSION,
            producer_name="edge-llm",
        )

    def _add_lengths(self) -> None:
        """What attention counts with: the last position of each row, and the longest row."""
        one, axis = self._constant("one", np.array([1], np.int64)), "one"
        counts = self._node("ReduceSum", "/mask/ReduceSum", ["attention_mask", axis], keepdims=1)
        last = self._node("Sub", "/mask/Sub", [counts, one])
        self._node("Cast", "/mask/Cast", [last], ["seqlens_k"], to=TensorProto.INT32)
        dims = self._node("Shape", "/mask/Shape", ["attention_mask"])
        index = self._constant("one_scalar", np.array(1, np.int64))
        longest = self._node("Gather", "/mask/Gather", [dims, index], axis=0)
        name = "total_sequence_length"
        self._node("Cast", "/mask/Cast_1", [longest], [name], to=TensorProto.INT32)

    def _add_rotations(self) -> None:
        half = self._shape.head_size // 2
        frequencies = self._shape.rope_theta ** -(np.arange(half) / half)
        angles = np.arange(self._shape.context_length)[:, None] * frequencies
        self._constant("cos_cache", np.cos(angles).astype(np.float32))
        self._constant("sin_cache", np.sin(angles).astype(np.float32))

    def _embed(self) -> str:
        table = self._constant("model.embed_tokens.weight", self._weights["token_embd.weight"])
        return self._node("Gather", "/model/embed_tokens/Gather", [table, "input_ids"])

    def _add_layer(self, layer: int, hidden: str, update: str) -> tuple[str, str]:
        """The residual stream before the last addition, and what is to be added."""
        place, source = f"/model/layers.{layer}", f"blk.{layer}"
        normed, hidden = self._norm(
            f"{place}/input_layernorm", f"{source}.attn_norm.weight", hidden, update
        )
        mixed = self._attention(layer, normed)
        update = self._linear(f"{place}/attn/o_proj", [f"{source}.attn_output.weight"], mixed)
        normed, hidden = self._norm(
            f"{place}/post_attention_layernorm", f"{source}.ffn_norm.weight", hidden, update
        )
        gate = self._linear(f"{place}/mlp/gate_proj", [f"{source}.ffn_gate.weight"], normed)
        up = self._linear(f"{place}/mlp/up_proj", [f"{source}.ffn_up.weight"], normed)
        sigmoid = self._node("Sigmoid", f"{place}/mlp/act_fn/Sigmoid", [gate])
        active = self._node("Mul", f"{place}/mlp/act_fn/Mul", [gate, sigmoid])
        product = self._node("Mul", f"{place}/mlp/Mul", [active, up])
        down = self._linear(f"{place}/mlp/down_proj", [f"{source}.ffn_down.weight"], product)
        return hidden, down

    def _attention(self, layer: int, normed: str) -> str:
        place, source = f"/model/layers.{layer}/attn", f"blk.{layer}.attn"
        # Queries, keys and values in one product: the operator takes them packed.
        packed = self._linear(
            f"{place}/qkv_proj", [f"{source}_{part}.weight" for part in "qkv"], normed
        )
        past = [f"past_key_values.{layer}.{part}" for part in ("key", "value")]
        present = [f"present.{layer}.{part}" for part in ("key", "value")]
        lengths = ["seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"]
        name = f"{place}/GroupQueryAttention"
        return self._node(
            "GroupQueryAttention", name, [packed, "", "", *past, *lengths], [name, *present],
            domain=CONTRIB,
            num_heads=self._shape.num_heads,
            kv_num_heads=self._shape.num_kv_heads,
            scale=self._shape.head_size**-0.5,
            do_rotary=1,
            rotary_interleaved=1,
        )  # fmt: skip

    def _norm(self, place: str, weight: str, hidden: str, update: str) -> tuple[str, str]:
        """`hidden` with `update` added, normed and as it is; without `update` at the start."""
        scale = self._constant(_constant_name(place), self._weights[weight])
        eps = self._shape.norm_eps
        if not update:
            name = f"{place}/SimplifiedLayerNormalization"
            normed = self._node(
                "SimplifiedLayerNormalization", name, [hidden, scale], axis=-1, epsilon=eps
            )
            return normed, hidden
        name = f"{place}/SkipSimplifiedLayerNormalization"
        outputs = [name, "", "", f"{place}/sum"]
        self._node(
            "SkipSimplifiedLayerNormalization", name, [hidden, update, scale], outputs,
            domain=CONTRIB, epsilon=eps,
        )  # fmt: skip
        return name, outputs[3]

    def _linear(self, place: str, weights: Sequence[str], value: str) -> str:
        matrix = np.concatenate([self._weights[name] for name in weights]).T
        constant = self._constant(_constant_name(place), matrix)
        return self._node("MatMul", f"{place}/MatMul", [value, constant])

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        outputs: Sequence[str] = (),
        **attributes: Any,
    ) -> str:
        """Adds a node; its first output, called like the node where nothing else is said."""
        outputs = outputs or [name]
        self._nodes.append(helper.make_node(kind, inputs, outputs, name, **attributes))
        return outputs[0]

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        ids = ["batch_size", "sequence_length"]
        mask = ["batch_size", "total_sequence_length"]
        return [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ids),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, mask),
            *self._caches("past_key_values", "past_sequence_length"),
        ]

    def _outputs(self, vocab_size: int) -> list[onnx.ValueInfoProto]:
        shape = ["batch_size", "sequence_length", vocab_size]
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
        return [logits, *self._caches("present", "total_sequence_length")]

    def _caches(self, prefix: str, length: str) -> list[onnx.ValueInfoProto]:
        shape = ["batch_size", self._shape.num_kv_heads, length, self._shape.head_size]
        return [
            helper.make_tensor_value_info(f"{prefix}.{layer}.{part}", TensorProto.FLOAT, shape)
            for layer in range(self._shape.num_layers)
            for part in ("key", "value")
        ]


def _constant_name(place: str) -> str:
    """The name transformers gives a weight: `model.layers.0.mlp.up_proj.weight`."""
    return f"{place.removeprefix('/').replace('/', '.')}.weight"
