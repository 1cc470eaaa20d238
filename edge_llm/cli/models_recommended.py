"""Which models of the catalogue suit this machine, before anything of them is fetched.

Sizes are not in the catalogue: they are estimated here from the number of parameters and the bits
that a quantisation takes for each, and every such number is called an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edge_llm.cli.inspect_parts import Record
from edge_llm.cli.models_installed import Machine, describe_fit, repositories_of
from edge_llm.hub.decode_cost import DecodeCost
from edge_llm.hub.registry import CatalogueModel, load_registry
from edge_llm.hub.variants import SMALL_BYTES


class _Quant(NamedTuple):
    name: str
    bits: float
    """For each parameter, all tensors of a model together."""
    storage: str
    """The type of most of its weights."""


_EIGHT_BITS = _Quant("Q8_0", 8.5, "Q8_0")
_FOUR_BITS = _Quant("Q4_K_M", 4.9, "Q4_K")
"""Source: llama.cpp tools/quantize/README.md, bits of Llama 3.1 8B; 8.5 is the format itself."""

EMBEDDING_SHARE = 1.1
"""Names of models leave out embeddings, or round: what files have more, for the most part."""

KV_BYTES_PER_TOKEN = 128 << 10
"""Keys and values in F16 of 32 layers with 8 KV heads of 128 numbers: as much as any of these
families takes up to 8 billion parameters, and four times what the smallest do."""
KV_PARAMETERS = 3.0
"""Billions of parameters from which on that much is assumed; below, in proportion."""
OVERHEAD_BYTES = 192 << 20
"""Vocabulary, activations and bookkeeping."""

LONGEST = 32_768
"""Where the memory for a context stops to be counted; what a model was trained for, which may be
less, its header says."""
LEAST_CONTEXT = 2048
"""Below, a conversation is over before it has begun."""
READING_SPEED = 6.0
"""Tokens a second. Somebody who reads along takes in 4 to 5 words, at about 1.3 tokens a word."""


def describe_recommended(machine: Machine, installed: Iterable[Record]) -> list[Record]:
    """A record for each model of the catalogue: those to take first, the best of them on top."""
    here = {str(record.get("repo", "")).lower() for record in installed}
    records = [_describe(model, machine, here) for model in load_registry().models.values()]
    return sorted(records, key=_rank)


def _describe(model: CatalogueModel, machine: Machine, here: set[str]) -> Record:
    quant, weights = _quantisation(model, machine.free_bytes)
    room = machine.free_bytes - weights - OVERHEAD_BYTES
    per_token = round(KV_BYTES_PER_TOKEN * min(1.0, model.parameters / KV_PARAMETERS))
    fitting = min(LONGEST, max(0, room // per_token // 256 * 256))
    cost = DecodeCost({quant.storage: weights}, kv_bytes=per_token)
    fit = describe_fit(cost, LONGEST, fitting if fitting >= LEAST_CONTEXT else 0, machine)
    return {
        "name": model.name,
        "family": model.family,
        "summary": model.summary,
        "parameters_billion": model.parameters,
        "quantization": quant.name,
        "estimated": True,
        "estimated_bytes": weights,
        "license": model.licence,
        "gated": model.gated,
        "tools": model.tools != "none",
        "thinking": model.thinking,
        "installed": any(repo.lower() in here for repo in repositories_of(model)),
        **{name: value for name, value in fit.items() if name != "context_length"},
        "verdict": _verdict(fit),
        "pull": f"edge-llm pull {model.name}",
    }


def _quantisation(model: CatalogueModel, free_bytes: int) -> tuple[_Quant, int]:
    """What `pull` would take, and about how many bytes of weights that is."""
    eight = _weight_bytes(model, _EIGHT_BITS)
    if eight <= SMALL_BYTES and eight + OVERHEAD_BYTES <= free_bytes:
        return _EIGHT_BITS, eight
    return _FOUR_BITS, _weight_bytes(model, _FOUR_BITS)


def _weight_bytes(model: CatalogueModel, quant: _Quant) -> int:
    return round(model.parameters * 1e9 * EMBEDDING_SHARE * quant.bits / 8)


def _verdict(fit: Record) -> str:
    if not fit["fits"]:
        return "does not fit"
    return "good" if fit["tokens_per_s"] >= READING_SPEED else "slow"


def _rank(record: Record) -> tuple[int, float, str]:
    """Good ones before slow ones; of the good the largest first, of the others the smallest."""
    order = ("good", "slow", "does not fit").index(record["verdict"])
    size = record["parameters_billion"]
    return order, -size if order == 0 else size, record["name"]
