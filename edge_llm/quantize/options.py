"""What can be chosen when a model is quantised, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from edge_llm.errors import ConfigError, did_you_mean

Method: TypeAlias = Literal["int8", "q8", "q4", "disk8"]
"""How a matrix is stored and multiplied with.

`q4`, `q8`: blocks along the inputs with a scale each (MatMulNBits). Fast where the processor has
dot products of bytes (AVX2, ARM with dotprod); `q8` is slow elsewhere, a Raspberry Pi 4 included.
`int8`: a scale for each output, and for each token at run time (DynamicQuantizeLinear,
MatMulInteger). Loses more than `q8`, and is fast on every processor.
`disk8`: 8 bits in the file, the blocks of `q8`; loading makes float32 of them. As exact as 8 bits
can be and as fast as float32 on every processor, with the memory of float32.
"""

Treatment: TypeAlias = Literal["keep", "int8", "q8", "q4", "disk8"]
"""A method, or leaving the matrix as it is."""

BLOCK_SIZES = (16, 32, 64, 128, 256)
"""Source: onnxruntime ContribOperators.md, com.microsoft.MatMulNBits: a power of 2, from 16."""

ACCURACY_LEVELS = (0, 1, 4)
"""What MatMulNBits computes with: 0 as it likes, 1 float32, 4 int8."""

_EMBEDDING: Mapping[str, Treatment] = MappingProxyType(
    # 4 bits cost most where a token is looked up or chosen: these two stay at 8.
    {"int8": "q8", "q8": "q8", "q4": "q8", "disk8": "disk8"}
)
_HEAD: Mapping[str, Treatment] = MappingProxyType(
    {"int8": "int8", "q8": "q8", "q4": "q8", "disk8": "disk8"}
)


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How each part of a model is stored."""

    method: Method = "q4"
    block_size: int = 32
    """Weights that share a scale (`q4`, `q8`, `disk8`)."""
    symmetric: bool = True
    """Without a zero point for each block (`q4`, `q8`)."""
    accuracy_level: int = 4
    """Smallest precision of activations (`q4`, `q8`): 0 any, 1 float32, 4 int8."""
    reduce_range: bool = False
    """7 bits for the weights of `int8`: x86 processors without VNNI overflow with 8."""
    keep: tuple[str, ...] = ()
    """Patterns (`*/down_proj/*`) of node or weight names that stay as they are."""
    embedding: Treatment | None = None
    """The token embedding; None takes 8 bits. It cannot be `int8`."""
    head: Treatment | None = None
    """The matrix that gives the logits; None takes 8 bits."""

    def __post_init__(self) -> None:
        _require_choice("method", self.method, get_args(Method))
        if self.block_size not in BLOCK_SIZES:
            raise ConfigError(
                f"block_size must be one of {_listed(BLOCK_SIZES)}, not {self.block_size!r}"
            )
        if self.accuracy_level not in ACCURACY_LEVELS:
            raise ConfigError(
                f"accuracy_level must be one of {_listed(ACCURACY_LEVELS)},"
                f" not {self.accuracy_level!r}"
            )
        if self.embedding is not None:
            kinds = [kind for kind in get_args(Treatment) if kind != "int8"]
            _require_choice("embedding", self.embedding, kinds)
        if self.head is not None:
            _require_choice("head", self.head, get_args(Treatment))

    @property
    def embedding_treatment(self) -> Treatment:
        """How the token embedding is stored."""
        return self.embedding or _EMBEDDING[self.method]

    @property
    def head_treatment(self) -> Treatment:
        """How the output head is stored."""
        return self.head or _HEAD[self.method]


def _require_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"there is no {name} {value!r}", hint=did_you_mean(str(value), known))


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
