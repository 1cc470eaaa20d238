"""Every family of the catalogue runs here: its architecture, with random weights."""

import re
from pathlib import Path

import pytest

from edge_llm.hub.packaged import models_folder
from edge_llm.hub.registry import load_registry
from edge_llm.runtime.llm import EdgeLLM
from tests.support.family_files import ARCHITECTURES, write_family_model


@pytest.mark.parametrize("arch", sorted({*ARCHITECTURES.values(), "mistral3"}))
def test_a_model_of_the_architecture_answers(tmp_path: Path, arch: str) -> None:
    path = write_family_model(tmp_path / f"{arch}.gguf", arch)

    with EdgeLLM(path, context_size=128) as llm:
        answer = llm.chat("hello", max_tokens=4)

    assert answer.usage.completion_tokens >= 1


def test_every_family_has_an_architecture_and_a_line_in_the_list() -> None:
    families = load_registry().families
    rows = re.findall(r"^\| (\w[^|]*?) \| `", readme(), re.MULTILINE)

    assert set(ARCHITECTURES) == set(families)
    assert {re.split(r"\W|(?=\d)", row)[0] for row in rows} == set(families.values())


def test_the_list_names_every_architecture() -> None:
    for arch in {*ARCHITECTURES.values(), "mistral3"}:
        assert f"`{arch}`" in readme()


def readme() -> str:
    return (models_folder() / "README.md").read_text(encoding="utf-8")
