from pathlib import Path

import pytest

from edge_llm.config import merge_sampling
from edge_llm.errors import ConfigError, ModelNotFoundError
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.reference import parse_reference
from edge_llm.hub.registry import FACTS, load_registry, repositories
from edge_llm.types import SamplingParams

MODELS = load_registry().models


def test_the_families_in_use_are_there() -> None:
    families = load_registry().families
    found = {families[model.family] for model in MODELS.values()}

    assert found == {"Gemma", "Llama", "Mistral", "Phi", "Qwen", "SmolLM", "LFM", "Granite"}


@pytest.mark.parametrize(
    "name",
    [
        "qwen3-0.6b",
        "smollm2-360m",
        "gemma-3-1b",
        "llama-3.2-1b",
        "phi-4-mini",
        "lfm2-350m",
        "mistral-7b",
        "granite-4.0-350m",
    ],
)
def test_the_names_that_people_type_are_there(name: str) -> None:
    assert repositories(parse_reference(name)) == MODELS[name].gguf


@pytest.mark.parametrize("name", MODELS)
def test_every_fact_has_a_dated_source_or_says_that_it_has_none(name: str) -> None:
    model = MODELS[name]

    for fact in FACTS:
        said = getattr(model, fact)
        if said or said is False:
            assert (fact in model.sources) != (fact in model.unverified), fact
    assert all(source.read.year >= 2026 for source in model.sources.values())
    assert all(source.url.startswith("https://") for source in model.sources.values())


@pytest.mark.parametrize("name", MODELS)
def test_every_entry_can_be_used(name: str) -> None:
    model = MODELS[name]

    assert parse_reference(name).kind == "catalogue"
    assert model.gguf
    for repo in (*model.gguf, *model.onnx, model.base):
        assert parse_reference(f"hf:{repo}").name == repo
    merge_sampling(SamplingParams(), model.sampling)
    assert ("tools" in model.capabilities) == (model.tools != "none")


def test_onnx_is_where_it_is_asked_for() -> None:
    def places(text: str) -> tuple[str, ...]:
        return repositories(parse_reference(text))

    assert places("qwen3-0.6b:onnx") == MODELS["qwen3-0.6b"].onnx
    assert places("qwen3-0.6b:Q8_0") == MODELS["qwen3-0.6b"].gguf
    assert places("qwen3-0.6b:q4f16")[-1] == MODELS["qwen3-0.6b"].onnx[-1]
    with pytest.raises(ModelNotFoundError, match="no repository with onnx"):
        places("mistral-7b:onnx")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('family = "qwen3"', 'family = "qwen9"', "unknown family 'qwen9'"),
        ("parameters = 0.6\n", "", "missing or unknown: parameters"),
        ('thinking = "switchable"', 'thinking = "maybe"', "thinking is 'maybe'"),
        ('licence = "qwen3-card"', 'licence = "hearsay"', "no source for hearsay"),
        ('unverified = ["gated"]', "unverified = []", "no source for gated"),
        ("[families]", "[families", "cannot be read"),
        ("[sources.public-code]", "[sources.public-code", "cannot be read"),
    ],
)
def test_an_entry_that_is_wrong_is_named(tmp_path: Path, old: str, new: str, text: str) -> None:
    good = (models_folder() / "registry.toml").read_text(encoding="utf-8")
    path = tmp_path / "registry.toml"
    path.write_text(good.replace(old, new, 1) if old in good else good + "\n[", encoding="utf-8")

    with pytest.raises(ConfigError, match=text):
        load_registry(path)
