"""What goes into a decoder and what comes out, read from its graph.

Names tell which input is meant; everything else, types, heads, layout and what becomes of a past,
comes from the graph itself. What cannot be run is refused with the name of the input or node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_llm.errors import UnsupportedModelError
from edge_llm.hub.onnx_parse import OnnxFile
from edge_llm.hub.onnx_types import MICROSOFT, Graph, Node, ValueInfo

GROUPED = "GroupQueryAttention"

_INTEGERS = frozenset(("int64", "int32"))
_FLOATS = frozenset(("float32", "float16"))
_KEEP = ("num_logits_to_keep", "logits_to_keep")
_STATE = re.compile(r"conv|ssm|recurrent|mamba|rwkv|delta", re.IGNORECASE)
_PAST = re.compile(r"past|cache", re.IGNORECASE)
_PARTS = ((3, 1), (4, 2))
"""Where GroupQueryAttention has its past key and value, and the present ones.

Source: onnxruntime ContribOperators.md, com.microsoft.GroupQueryAttention.
"""
_ROTARY_TABLES: Mapping[tuple[str, str], tuple[int, int]] = MappingProxyType(
    {(MICROSOFT, GROUPED): (7, 8), (MICROSOFT, "RotaryEmbedding"): (2, 3)}
)
"""Inputs with a row of cosines or sines for each position; the kernels do not check positions."""
_MAX_STEPS = 4
"""From a past to its present: a Concat, with a Cast or Reshape around it."""


@dataclass(frozen=True, slots=True)
class CachePair:
    """A part of the KV cache: what was there before, and what is there after."""

    past: str
    present: str
    num_heads: int
    head_size: int


@dataclass(frozen=True, slots=True)
class DecoderInterface:
    """Everything that is needed to run a decoder step by step."""

    token_dtype: str
    mask_dtype: str | None
    """None where it takes no attention mask."""
    position_dtype: str | None
    """None where the graph counts positions itself."""
    pairs: tuple[CachePair, ...]
    """All keys and values, in the order of the inputs."""
    cache_dtype: str
    logits_dtype: str
    shares_buffer: bool
    """Past and present may be one buffer with room to spare: every layer is GroupQueryAttention."""
    is_ragged: bool
    """Rows of one batch may have different lengths (with `shares_buffer`)."""
    max_positions: int | None
    """How far the rotary tables reach, where they are constants."""
    logits_to_keep: ValueInfo | None
    """The input that says for how many tokens logits are wanted."""
    cache_branch: str | None
    """The input that says whether there is a past (merged decoders)."""
    last_logits_only: bool
    vocab_size: int | None
    """None where the graph does not say."""

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes that one token takes in the KV cache."""
        width = 2 if self.cache_dtype == "float16" else 4
        return sum(pair.num_heads * pair.head_size for pair in self.pairs) * width


def read_decoder(file: OnnxFile) -> DecoderInterface:
    """The interface of a decoder.

    Raises:
        UnsupportedModelError: it is another kind of model, or one of a kind not known here.
    """
    return _Reader(file).read()


class _Reader:
    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        self._graph = file.graph
        self._inputs = {value.name: value for value in file.graph.inputs}
        self._outputs = {value.name: value for value in file.graph.outputs}
        self._links = _Links(file.graph)

    def read(self) -> DecoderInterface:
        rest = dict(self._inputs)
        tokens = self._take_tokens(rest)
        mask = self._take(rest, "attention_mask", _INTEGERS, 2)
        position = self._take(rest, "position_ids", _INTEGERS, 2)
        keep = next((value for name in _KEEP if (value := rest.pop(name, None))), None)
        branch = self._take(rest, "use_cache_branch", {"bool"}, 1)
        pairs = tuple(self._pair(value) for value in rest.values())
        if not pairs:
            raise self._error("it has no KV cache: no input holds the past", _EXPORT_WITH_PAST)
        dtypes = {self._inputs[pair.past].dtype for pair in pairs}
        if len(dtypes) > 1:
            raise self._error(f"its KV cache mixes the types {sorted(dtypes)}")
        logits = self._logits()
        grouped = self._grouped_nodes(pairs)
        last = logits.shape[1] if logits.shape else None
        vocab = logits.shape[2] if logits.shape else None
        return DecoderInterface(
            token_dtype=tokens.dtype,
            mask_dtype=mask.dtype if mask else None,
            position_dtype=position.dtype if position else None,
            pairs=pairs,
            cache_dtype=dtypes.pop(),
            logits_dtype=logits.dtype,
            shares_buffer=grouped is not None,
            is_ragged=(
                grouped is not None
                and all(map(self._counts_rows, grouped))
                and not (tokens.shape and isinstance(tokens.shape[0], int))
            ),
            max_positions=self._max_positions(),
            logits_to_keep=keep,
            cache_branch=branch.name if branch else None,
            last_logits_only=last == 1,
            vocab_size=vocab if isinstance(vocab, int) and vocab > 0 else None,
        )

    def _take_tokens(self, rest: dict[str, ValueInfo]) -> ValueInfo:
        tokens = self._take(rest, "input_ids", _INTEGERS, 2)
        if tokens is not None:
            batch, length = tokens.shape or (None, None)
            if isinstance(length, int) or (isinstance(batch, int) and batch != 1):
                raise self._error(
                    f"its input 'input_ids' is {_describe(tokens)}: it takes blocks of fixed size",
                    "export it with a free sequence length",
                )
            return tokens
        if "inputs_embeds" in rest:
            raise self._error(
                "it takes 'inputs_embeds': it is a part of a model that also sees or hears",
                "take a model for text alone",
            )
        names = ", ".join(map(repr, list(rest)[:4])) or "none"
        raise self._error(f"it is no decoder of text: its inputs are {names}", _EXPORT_WITH_PAST)

    def _take(
        self, rest: dict[str, ValueInfo], name: str, dtypes: frozenset[str] | set[str], rank: int
    ) -> ValueInfo | None:
        value = rest.pop(name, None)
        if value is None:
            return None
        if value.dtype not in dtypes or value.rank not in (rank, None):
            raise self._error(f"its input {name!r} is {_describe(value)}, which is not known here")
        return value

    def _pair(self, value: ValueInfo) -> CachePair:
        """The part of the KV cache that begins with an input."""
        if _STATE.search(value.name):
            raise self._error(
                f"its input {value.name!r} is a recurrent or convolution state, which the ONNX"
                " engine does not keep",
                "take the model as GGUF",
            )
        if value.rank != 4 or value.dtype not in _FLOATS or value.shape is None:
            kind = "a KV cache" if _PAST.search(value.name) else "an input"
            raise self._error(
                f"{value.name!r} is {kind} that is {_describe(value)}; known are float32 and"
                " float16 caches of (batch, heads, tokens, head size)"
            )
        _, heads, tokens, size = value.shape
        if not isinstance(heads, int) or not isinstance(size, int) or isinstance(tokens, int):
            raise self._error(
                f"the shape of the KV cache {value.name!r} is {_describe(value)}; known is (batch,"
                " heads, tokens, head size) with free tokens, and heads and size that are fixed"
            )
        if not 0 < heads <= 1 << 12 or not 0 < size <= 1 << 14:
            raise self._error(f"the shape of the KV cache {value.name!r} is {_describe(value)}")
        present = self._links.present_of(value.name)
        if present is None or present not in self._outputs:
            raise self._error(f"no output continues the KV cache {value.name!r}")
        after = self._outputs[present]
        if after.dtype != value.dtype or after.rank not in (4, None):
            raise self._error(f"{present!r} is {_describe(after)}, and {value.name!r} is not")
        return CachePair(value.name, present, heads, size)

    def _logits(self) -> ValueInfo:
        logits = self._outputs.get("logits")
        if logits is None:
            names = ", ".join(map(repr, list(self._outputs)[:4]))
            raise self._error(f"it has no output 'logits', only {names}", _EXPORT_WITH_PAST)
        if logits.dtype not in _FLOATS or logits.rank not in (3, None):
            raise self._error(f"its output 'logits' is {_describe(logits)}")
        return logits

    def _grouped_nodes(self, pairs: tuple[CachePair, ...]) -> tuple[Node, ...] | None:
        """The attention of every layer, where past and present of each may be one buffer."""
        nodes: dict[str, Node] = {}
        for pair in pairs:
            users = self._links.users.get(pair.past, [])
            if len(users) != 1 or not _continues(users[0], pair):
                return None
            nodes[users[0].outputs[0]] = users[0]
        return tuple(nodes.values())

    def _counts_rows(self, node: Node) -> bool:
        """Whether a layer takes the length of each row from the attention mask."""
        return self._links.comes_from(node.input(5), "attention_mask", through="ReduceSum")

    def _max_positions(self) -> int | None:
        constants = self._graph.initializers
        rows = [
            constants[name].shape[0]
            for node in self._graph.nodes
            for index in _ROTARY_TABLES.get((node.domain, node.op_type), ())
            if (name := node.input(index)) in constants and constants[name].shape
        ]
        return min(rows, default=None)

    def _error(self, problem: str, hint: str = "") -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{self._file.path.name!r} cannot be run: {problem}",
            hint=hint or "another export of the model may work",
        )


_EXPORT_WITH_PAST = "export it for text generation with a KV cache ('text-generation-with-past')"


class _Links:
    """Who makes and who uses each value, through inner graphs as well."""

    def __init__(self, graph: Graph) -> None:
        self.users: dict[str, list[Node]] = {}
        self._makers: dict[str, tuple[str, ...]] = {}
        self._ops: dict[str, str] = {}
        self._results = frozenset(value.name for value in graph.outputs)
        for inner in graph.walk():
            for node in inner.nodes:
                self._add(node)

    def _add(self, node: Node) -> None:
        for name in filter(None, node.inputs):
            self.users.setdefault(name, []).append(node)
        for name in filter(None, node.outputs):
            self._makers[name] = node.inputs
            self._ops[name] = node.op_type
        for inner in node.graphs.values():
            # What a branch gives is what its node gives, in the same order.
            for given, result in zip(inner.outputs, node.outputs, strict=False):
                self.users.setdefault(given.name, []).append(_passing(given.name, result))

    def present_of(self, past: str) -> str | None:
        """The output of the graph that a past is nearest to; None when none is near."""
        values = [past]
        for _ in range(_MAX_STEPS):
            values = [
                result
                for value in values
                for node in self.users.get(value, ())
                for result in _onwards(node, value)
            ]
            found = [value for value in values if value in self._results]
            if found:
                return found[0]
        return None

    def comes_from(self, value: str, source: str, *, through: str) -> bool:
        """Whether `value` is computed from `source` on a path with a node of type `through`."""
        stack, seen = [(value, False)], set()
        while stack:
            state = stack.pop()
            if state in seen:
                continue
            seen.add(state)
            name, passed = state
            if name == source and passed:
                return True
            passed = passed or self._ops.get(name) == through
            stack += [(before, passed) for before in self._makers.get(name, ())]
        return False


def _passing(value: str, result: str) -> Node:
    return Node("Identity", "", "", (value,), (result,))


def _onwards(node: Node, value: str) -> Iterator[str]:
    """Where a past goes on in a node."""
    if node.op_type in ("Concat", "Identity", "Cast", "Reshape", "Transpose", "ScatterND"):
        yield from node.outputs[:1]
    elif node.op_type in _ATTENTION:
        parts = _ATTENTION[node.op_type]
        yield from (node.output(after) for before, after in parts if node.input(before) == value)


_ATTENTION: Mapping[str, tuple[tuple[int, int], ...]] = {
    GROUPED: _PARTS,
    "MultiHeadAttention": ((6, 1), (7, 2)),
    "DecoderMaskedMultiHeadAttention": ((5, 1), (6, 2)),
    "Attention": ((4, 1), (5, 2)),
}
"""Operators that extend a cache themselves: inputs and outputs of past and present.

Source: onnxruntime ContribOperators.md; onnx Operators.md (Attention 23).
"""


def _continues(node: Node, pair: CachePair) -> bool:
    return (
        node.op_type == GROUPED
        and node.domain == MICROSOFT
        and any(
            node.input(before) == pair.past and node.output(after) == pair.present
            for before, after in _PARTS
        )
    )


def _describe(value: ValueInfo) -> str:
    """A value for people: `float32 (batch, 2, past, 64)`."""
    shape = "" if value.shape is None else f" ({', '.join(map(str, value.shape))})"
    return f"{value.dtype or 'no tensor'}{shape}"
