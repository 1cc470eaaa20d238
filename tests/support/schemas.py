"""JSON schemas as nasty as real ones, by seed: the same seed gives the same schema for ever.

Whether an answer keeps to one is decided by `schema_oracle`, what no schema should do to a program
is in `schema_hostile`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.schema_drafts import URIS, can_respell, respell
from tests.support.schema_shapes import SHAPES
from tests.support.schema_tools import TOOLS
from tests.support.schema_values import Schema


@dataclass(frozen=True, slots=True)
class SchemaCase:
    """One generated schema and where it comes from."""

    name: str
    """Shape and seed, by which it can be made again."""
    schema: Schema

    @property
    def text(self) -> str:
        """The schema as it would be sent, keys in the order of the schema."""
        return json.dumps(self.schema, ensure_ascii=False)


def generate(seed: int) -> SchemaCase:
    """The schema of a seed; seeds that follow each other go through all shapes in turn."""
    shapes = [*SHAPES, "tool"]
    shape = shapes[seed % len(shapes)]
    rng = random.Random(f"{shape} {seed}")
    schema = _tool(seed // len(shapes)) if shape == "tool" else SHAPES[shape](rng)
    draft = rng.choice(sorted(URIS))
    if "$schema" not in schema and rng.random() < 0.3 and can_respell(schema, draft):
        return SchemaCase(f"{shape}/{seed}/draft-{draft}", respell(schema, draft))
    return SchemaCase(f"{shape}/{seed}", schema)


def generate_many(count: int, first_seed: int = 0) -> Iterator[SchemaCase]:
    """Schemas of `count` seeds in a row."""
    return (generate(first_seed + offset) for offset in range(count))


def _tool(number: int) -> Schema:
    names = sorted(TOOLS)
    return TOOLS[names[number % len(names)]]
