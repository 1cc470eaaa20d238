"""Grammars on every backend: many answers at once, each valid, forced tokens and all."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_llm.backends.base import Backend
from edge_llm.constrain.grammar import Choice, Grammar, JsonSchema, Regex
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.types import SamplingParams
from tests.contracts.test_backends import BACKENDS

LAMP = {
    "type": "object",
    "properties": {
        "name": {"enum": ["turn_on", "turn_off"]},
        "area": {"enum": ["kitchen", "hall"]},
        "level": {"type": "integer", "minimum": 0, "maximum": 100},
    },
    "required": ["name", "area", "level"],
    "additionalProperties": False,
}
KINDS = ["fake", "fake-copying", "llama_cpp", "onnx-grouped", "onnx-growing", "onnx-merged"]


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    backend = BACKENDS[request.param](tmp_path)
    yield backend
    backend.close()


def test_answers_of_many_at_once_all_fit_their_grammars(backend: Backend) -> None:
    engine = Engine(backend)
    prompt = tuple(backend.tokenizer.encode("Light?"))
    grammars: list[Grammar] = [JsonSchema(LAMP), Choice(("yes", "no")), Regex("[0-9]{3}")]
    texts: dict[int, str] = defaultdict(str)
    last: dict[int, SequenceEvent] = {}
    ids = {}
    for index in range(7):
        params = SamplingParams(temperature=index / 3, seed=index, max_tokens=120)
        grammar = grammars[index % len(grammars)]
        ids[engine.add_request(EngineRequest(prompt, params, grammar=grammar))] = grammar
    while engine.has_work:
        for event in engine.step():
            texts[event.request_id] += event.text
            if event.is_last:
                last[event.request_id] = event

    for request_id, grammar in ids.items():
        assert (last[request_id].finish_reason, last[request_id].fits_grammar) == ("stop", True)
        text = texts[request_id]
        match grammar:
            case Choice():
                assert text in grammar.options
            case Regex():
                assert text.isdecimal()
            case JsonSchema():
                value = json.loads(text)
                assert value.keys() == LAMP["properties"].keys()  # type: ignore[attr-defined]
                assert 0 <= value["level"] <= 100
    engine.clear_prefix_cache()
    assert engine.scheduler.num_used_cells == 0
