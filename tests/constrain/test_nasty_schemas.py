"""Whatever schema comes: an answer that fits it or a typed error, and the process lives on."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from edge_llm.constrain.grammar import JsonSchema
from edge_llm.errors import GrammarError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from tests.support.schema_hostile import HOSTILE
from tests.support.schema_shapes import SHAPES
from tests.support.schema_walk import Walker
from tests.support.schemas import generate

NUM_SHAPES = len(SHAPES) + 1
ROUNDS = 6
"""Seeds of each shape; the benchmark takes a thousand seeds, and a model."""

EDGES = (
    {"type": "integer", "minimum": -(2**63), "maximum": -(2**63) + 5},
    {"type": "integer", "minimum": -(2**63)},
    {"type": "integer", "maximum": -(2**63) + 1},
    {"type": "integer", "exclusiveMaximum": -(2**63) + 1},
    {"type": "integer", "minimum": 2**63 - 1},
    {"type": "integer", "minimum": -(2**70), "maximum": 2**70},
    {"type": "number", "minimum": -(2.0**63), "maximum": -(2.0**63) + 4096},
    {"type": "number", "minimum": 1e300},
    {"type": "number", "minimum": 1e-300, "maximum": 2e-300},
    {"enum": [2**64, -(2**64), 10**30]},
    {"const": 2**64},
)


@pytest.fixture(scope="module")
def walker() -> Walker:
    return Walker(ByteTokenizer())


@pytest.mark.parametrize("shape", range(NUM_SHAPES), ids=[*SHAPES, "tool"])
def test_answers_fit_the_schema_they_were_drawn_under(walker: Walker, shape: int) -> None:
    for seed in range(shape, NUM_SHAPES * ROUNDS, NUM_SHAPES):
        case = generate(seed)
        walk = walker.walk(case.schema, seed)

        assert walk.verdict != "invalid", f"{case.name}: {walk.detail}"


@pytest.mark.parametrize("schema", EDGES, ids=json.dumps)
def test_numbers_at_the_edge_of_what_machines_hold(walker: Walker, schema: Any) -> None:
    assert walker.walk(schema, 0).verdict != "invalid"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_refused_or_served(walker: Walker, name: str) -> None:
    try:
        schema = json.loads(HOSTILE[name]())
    except (ValueError, RecursionError):
        return  # whoever reads requests refuses it
    try:
        compiled = walker.compiler.compile(JsonSchema(schema))
        walker.draw(compiled, random.Random(0), 50)
    except GrammarError:
        pass
