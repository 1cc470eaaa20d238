from pathlib import Path

import pytest

from edge_llm.errors import ModelNotFoundError
from edge_llm.hub import resolve
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.resolve import resolve_model


def test_the_built_in_model_ships() -> None:
    reference = resolve_model("builtin")

    assert reference.name == "builtin"
    assert reference.path.is_relative_to(models_folder())


@pytest.mark.parametrize(("has_llama_cpp", "suffix"), [(True, ".gguf"), (False, ".onnx")])
def test_the_built_in_model_is_the_one_for_what_is_installed(
    monkeypatch: pytest.MonkeyPatch, has_llama_cpp: bool, suffix: str
) -> None:
    monkeypatch.setattr(resolve, "find_spec", lambda name: object() if has_llama_cpp else None)

    assert resolve_model("builtin").path.suffix == suffix
    assert resolve_model("builtin:onnx").path.suffix == ".onnx"
    assert resolve_model("builtin:gguf").path.suffix == ".gguf"
    assert resolve_model("builtin:onnx").name == "builtin"


def test_a_format_that_the_built_in_model_does_not_have_is_named() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'builtin:gguf'"):
        resolve_model("builtin:ggfu")


def test_an_incomplete_installation_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resolve, "models_folder", lambda: tmp_path)

    with pytest.raises(ModelNotFoundError, match="install edge-llm again"):
        resolve_model("builtin")


def test_a_path_is_named_after_its_file(tmp_path: Path) -> None:
    (tmp_path / "some model.Q4_0.gguf").touch()

    reference = resolve_model(str(tmp_path / "some model.Q4_0.gguf"))

    assert reference.name == "some model.Q4_0"


def test_a_folder_is_refused_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()

    with pytest.raises(ModelNotFoundError, match=r"a\.gguf"):
        resolve_model(str(tmp_path))


@pytest.mark.parametrize("name", ["bulitin", "buildin"])
def test_a_slip_in_the_name_is_noticed(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'builtin'"):
        resolve_model(name)


def test_nothing_near_says_what_works(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="'builtin', or a path"):
        resolve_model(str(tmp_path / "x" / "y"))
