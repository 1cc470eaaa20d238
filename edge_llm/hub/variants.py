"""Which models a list of files holds: one for each quantisation, with everything that it needs.

Works on names and sizes alone, so that a repository on the hub and a folder in the cache are read
by the same rules.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

ModelKind: TypeAlias = Literal["gguf", "onnx"]

GGUF_PREFERENCE = (
    *("Q4_K_M", "Q4_K_XL", "Q4_K_L", "Q4_K_S", "IQ4_NL", "IQ4_XS", "Q4_0", "Q4_1", "MXFP4", "Q4"),
    *("Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K", "Q8_0", "Q8", "Q3_K_XL", "Q3_K_L", "Q3_K_M"),
    *("IQ3_M", "IQ3_S", "Q3_K_S", "IQ3_XS", "IQ3_XXS", "Q2_K_XL", "Q2_K_L", "Q2_K", "IQ2_M"),
    *("IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "F16", "FP16", "BF16", "F32"),
)
"""The order in which quantisations are tried: four bits, where quality per byte is best; more bits
where there are no four; fewer where those do not fit."""
SMALL_BYTES = 700 << 20
"""Eight bits come first for files up to this size: small models lose more by four."""

ONNX_PREFERENCE = ("q4", "int8", "quantized", "uint8", "", "fp32", "q4f16", "fp16", "bnb4")
"""As `onnx_folder.PREFERRED`: half floats are slow on a CPU without them."""

ONNX_COMPANIONS = (
    *("config.json", "generation_config.json", "genai_config.json", "tokenizer.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json"),
)
"""What stands beside a graph and is read when it is loaded."""

_QUANT = re.compile(
    r"(?<![A-Za-z0-9])(?P<name>(?:UD-)?(?:I?Q\d|TQ\d)(?:_[A-Z0-9]+)*|B?F16|FP16|F32|MXFP4(?:_MOE)?)"
    r"(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})", re.DOTALL)
_GRAPH = re.compile(r"(?:decoder_)?(?:model|with_past)(?:_merged)?_?(?P<kind>\w*)")
_NOT_A_MODEL = re.compile(r"mmproj|imatrix|vocab-only|(?:^|[-_.])mtp(?:[-_.]|$)", re.IGNORECASE)
_DOCUMENTS = (".md", ".txt", ".png", ".jpg", ".json", ".jinja", ".py", ".model")


@dataclass(frozen=True, slots=True)
class Variant:
    """One loadable model among the files, in one quantisation."""

    kind: ModelKind
    quant: str
    """As in its file's name: `Q4_K_M`, `q4f16`; empty where the name says none."""
    entry: str
    """The file that is loaded: the first part, or the graph."""
    files: tuple[str, ...]
    """All it needs, the entry last: whoever finds it finds the rest."""
    num_bytes: int
    """Of all these files."""
    is_complete: bool = True
    """Whether every part that the names promise is there."""

    @property
    def label(self) -> str:
        """What to type behind the colon."""
        return self.quant or PurePosixPath(self.entry).name


def find_variants(sizes: Mapping[str, int]) -> list[Variant]:
    """The models among files, given by path and size in bytes; GGUF first, then by entry."""
    return _gguf_variants(sizes) + _onnx_variants(sizes)


def preferred(variants: Sequence[Variant]) -> list[Variant]:
    """`variants` in the order in which they should be tried, GGUF before ONNX."""
    return sorted(variants, key=_rank)


def matching(variants: Sequence[Variant], selector: str) -> list[Variant]:
    """Those that a user means by a quantisation, a format, a file or a folder."""
    wanted = selector.lower().rstrip("/")
    for means in (_is_file, _is_quant, _is_folder, _is_kind):
        found = [variant for variant in variants if means(variant, wanted)]
        if found:
            return found
    return []


def quant_of(path: str) -> str:
    """The quantisation that a GGUF file's name, or its folder's, says; else empty.

    `qwen3-0.6b-q8_0.gguf` is Q8_0, `BF16/model-00001-of-00002.gguf` is BF16.
    """
    pure = PurePosixPath(path)
    for text in (pure.name.removesuffix(".gguf"), pure.parent.name):
        found = list(_QUANT.finditer(text))
        if found:
            return found[-1]["name"].upper()
    return ""


def _is_file(variant: Variant, wanted: str) -> bool:
    return any(
        wanted in (path.lower(), path.lower().rpartition("/")[2])
        for path in variant.files
        if path.endswith((".gguf", ".onnx"))
    )


def _is_quant(variant: Variant, wanted: str) -> bool:
    quant = variant.quant.lower()
    return wanted in (quant, quant.removeprefix("ud-"))


def _is_folder(variant: Variant, wanted: str) -> bool:
    return str(PurePosixPath(variant.entry).parent).lower() == wanted


def _is_kind(variant: Variant, wanted: str) -> bool:
    return variant.kind == wanted


def _rank(variant: Variant) -> tuple[int, int, int, str]:
    depth = variant.entry.count("/")
    if variant.kind == "onnx":
        return 1, _index(ONNX_PREFERENCE, variant.quant.lower()), depth, variant.entry
    quant = variant.quant.removeprefix("UD-")
    is_small = quant == "Q8_0" and variant.num_bytes <= SMALL_BYTES
    return 0, -1 if is_small else _index(GGUF_PREFERENCE, quant), depth, variant.entry


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _gguf_variants(sizes: Mapping[str, int]) -> list[Variant]:
    groups: dict[tuple[str, int], dict[int, str]] = defaultdict(dict)
    for path in sizes:
        stem, suffix = path[:-5], path[-5:]
        if suffix.lower() != ".gguf" or _NOT_A_MODEL.search(PurePosixPath(path).name):
            continue
        part = _PART.fullmatch(stem)
        number, count = (int(part["number"]), int(part["count"])) if part else (1, 1)
        groups[(part["stem"] if part else stem, count)][number] = path
    found = []
    for (_, count), parts in sorted(groups.items()):
        ordered = [parts[number] for number in sorted(parts)]
        is_complete = set(parts) == set(range(1, count + 1))
        total = sum(sizes[path] for path in ordered)
        files = (*ordered[1:], ordered[0])
        found.append(Variant("gguf", quant_of(ordered[0]), ordered[0], files, total, is_complete))
    return found


def _onnx_variants(sizes: Mapping[str, int]) -> list[Variant]:
    graphs = [path for path in sizes if path.endswith(".onnx")]
    found = []
    for graph in sorted(graphs):
        match = _GRAPH.fullmatch(PurePosixPath(graph).name.removesuffix(".onnx"))
        # An encoder or an embedding by itself is no model; `genai_config.json` names its graph.
        if match is None and f"{_folder(graph)}genai_config.json" not in sizes:
            continue
        needed = [*_companions(graph, sizes), *_weights(graph, graphs, sizes)]
        total = sum(sizes[path] for path in (*needed, graph))
        kind = match["kind"] if match else ""
        found.append(Variant("onnx", kind, graph, (*needed, graph), total))
    return found


def _companions(graph: str, sizes: Mapping[str, int]) -> list[str]:
    """JSON files in the graph's folder, and in the one above where the tokenizer is there."""
    folders = [_folder(graph)]
    if f"{folders[0]}tokenizer.json" not in sizes and folders[0]:
        folders.append(_folder(folders[0].rstrip("/")))
    return [
        folder + name for folder in folders for name in ONNX_COMPANIONS if folder + name in sizes
    ]


def _weights(graph: str, graphs: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    """External data of a graph: files named after it, and those named after no graph."""
    folder = _folder(graph)
    others = [other for other in graphs if other != graph]
    return [
        path
        for path in sorted(sizes)
        if _folder(path) == folder
        and not path.endswith((*_DOCUMENTS, ".onnx", ".gguf", ".gitattributes", ".safetensors"))
        and not any(path.startswith(other) for other in others)
    ]


def _folder(path: str) -> str:
    head, slash, _ = path.rpartition("/")
    return head + slash
