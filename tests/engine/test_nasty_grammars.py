"""Generated schemas through a whole engine: a fitting answer or a typed error.

Few and short; the benchmark takes a thousand, and longer answers.
"""

from __future__ import annotations

import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from edge_llm.hub.packaged import models_folder
from tests.support.schema_campaign import at_each, count_verdicts, run_trials
from tests.support.schema_shapes import SHAPES
from tests.support.schemas import generate_many

NUM_SHAPES = len(SHAPES) + 1
MAX_TOKENS = 120


def test_a_fake_model_answers_every_shape_at_every_temperature() -> None:
    capabilities = fake_capabilities(max_model_len=512, num_kv_cells=2048)
    engine = Engine(FakeBackend(capabilities=capabilities))

    asked = at_each(generate_many(NUM_SHAPES), (0.0, 1.0, 2.0))

    counts, invalid = count_verdicts(
        run_trials(engine, asked, prompt=[65], bias=9.0, max_tokens=MAX_TOKENS)
    )

    assert invalid == []
    assert counts["valid"] > counts["cut"]


@pytest.mark.parametrize("strict", [False, True])
def test_the_built_in_model_answers_every_shape(strict: bool) -> None:
    path = models_folder() / "builtin" / "edge-llm-builtin-q8_0.gguf"
    engine = Engine(load_backend(path, EdgeConfig(context_size=1024, threads=1, max_num_seqs=8)))
    prompt = engine.backend.tokenizer.encode("Turn on the light")
    asked = at_each(generate_many(NUM_SHAPES, NUM_SHAPES), (2.0 if strict else 1.0,))

    counts, invalid = count_verdicts(
        run_trials(engine, asked, prompt=prompt, strict=strict, max_tokens=MAX_TOKENS)
    )
    engine.close()

    assert invalid == []
    assert not (strict and counts["relaxed"])
    assert counts["valid"] > counts["cut"]
