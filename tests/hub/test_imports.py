"""An imported model is loaded only as long as it is the one that was imported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import edge_llm
from edge_llm.config import data_folder
from edge_llm.errors import (
    ModelError,
    ModelFormatError,
    ModelIntegrityError,
    ModelNotFoundError,
    ModelStoreError,
    UnsupportedModelError,
)
from edge_llm.hub.foreign import find_stores
from edge_llm.hub.import_records import ImportedModel, imports_folder, list_imports
from edge_llm.hub.imports import forget_import, import_model, open_import, verify_import
from edge_llm.hub.ollama_store import OllamaStore
from edge_llm.hub.resolve import resolve_model
from tests.support.gguf_files import U32, Key, TinySpec, tiny_model
from tests.support.stores import OllamaTree, write_lmstudio

NAME = "ollama:tiny:latest"


@pytest.fixture
def tree(tmp_path: Path) -> OllamaTree:
    tree = OllamaTree(tmp_path / "ollama")
    tree.add("registry.ollama.ai/library/tiny/latest", tree.manifest())
    return tree


@pytest.fixture
def model(tree: OllamaTree) -> ImportedModel:
    return import_model(NAME, OllamaStore(tree.folder))


def touch(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


def test_an_import_copies_nothing_and_is_loaded_by_its_name(
    model: ImportedModel, tree: OllamaTree
) -> None:
    assert model.path.parent == tree.folder / "blobs"
    assert f"sha256-{model.files[0].sha256}" == model.path.name
    assert sum(path.stat().st_size for path in data_folder().rglob("*.json")) < 1000
    assert list(list_imports()) == [model]
    assert resolve_model("ollama:tiny").path == model.path
    assert resolve_model("ollama:tiny").name == NAME


def test_an_imported_model_answers(model: ImportedModel) -> None:
    with edge_llm.load(model.name, context_size=256, threads=1) as llm:
        assert llm.chat("hello", max_tokens=2).model == NAME


def test_progress_reaches_the_whole(tree: OllamaTree) -> None:
    seen: list[tuple[int, int]] = []

    model = import_model(NAME, OllamaStore(tree.folder), lambda *step: seen.append(step))

    assert seen[-1] == (model.num_bytes, model.num_bytes)


def test_a_name_that_was_not_imported_says_how(tree: OllamaTree) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model("ollama:tiny")

    assert caught.value.hint == f"edge-llm models import {NAME}"


def test_a_file_that_moved_is_missed(model: ImportedModel) -> None:
    model.path.rename(model.path.with_name("elsewhere"))

    with pytest.raises(ModelNotFoundError, match="is gone"):
        open_import(NAME)
    with pytest.raises(ModelNotFoundError, match="is gone"):
        verify_import(NAME)


def test_a_file_of_another_size_is_refused(model: ImportedModel) -> None:
    with model.path.open("ab") as stream:
        stream.write(b"x")

    with pytest.raises(ModelIntegrityError, match="bytes instead of"):
        open_import(NAME)


def test_a_file_that_was_replaced_is_refused(model: ImportedModel) -> None:
    data = model.path.read_bytes()
    model.path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    touch(model.path)

    with pytest.raises(ModelIntegrityError, match="the hash"):
        open_import(NAME)


def test_a_change_that_hides_its_time_is_found_by_verifying(model: ImportedModel) -> None:
    data = model.path.read_bytes()
    model.path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(model.path, ns=(model.files[0].modified_ns,) * 2)

    assert open_import(NAME) == model.path
    with pytest.raises(ModelIntegrityError, match="the hash"):
        verify_import(NAME)


def test_a_file_that_was_only_touched_is_hashed_once(
    model: ImportedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(model.path)

    assert open_import(NAME) == model.path

    def refuse(*_: object) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr("edge_llm.hub.imports.sha256_of", refuse)
    assert open_import(NAME) == model.path


def test_a_blob_that_is_not_what_its_name_says_is_not_imported(tree: OllamaTree) -> None:
    path = OllamaStore(tree.folder).files(NAME)[0].path
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    with pytest.raises(ModelIntegrityError, match="its store promises"):
        import_model(NAME, OllamaStore(tree.folder))
    assert not imports_folder().exists()


def test_what_cannot_be_run_is_not_imported(tree: OllamaTree) -> None:
    unknown = TinySpec(arch="llada")
    wrong = TinySpec(extra=(Key("llama.context_length", U32, 0),))
    for data, error in (
        (b"{}" * 20, ModelFormatError),
        (tiny_model(unknown), UnsupportedModelError),
        (tiny_model(wrong), ModelFormatError),
    ):
        tree.add("registry.ollama.ai/library/x/latest", tree.manifest(data))
        with pytest.raises(error):
            import_model("ollama:x:latest", OllamaStore(tree.folder))
    assert not imports_folder().exists()


def test_forgetting_leaves_the_file(model: ImportedModel) -> None:
    forget_import(NAME)

    assert list(list_imports()) == []
    assert model.path.is_file()
    with pytest.raises(ModelNotFoundError):
        forget_import(NAME)


def test_models_of_lm_studio_are_imported(tmp_path: Path) -> None:
    folder = tmp_path / ".lmstudio" / "models"
    write_lmstudio(folder, {"acme/Tiny-GGUF/tiny-Q8_0.gguf": tiny_model(TinySpec())})
    (store,) = find_stores({"OLLAMA_MODELS": "/nowhere"}, tmp_path)

    model = import_model("lmstudio:acme/Tiny-GGUF/tiny-Q8_0.gguf", store)

    assert resolve_model(model.name).path == folder / "acme/Tiny-GGUF/tiny-Q8_0.gguf"
    assert verify_import(model.name) == model


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "[" * 5000, '{"format": 2}', '{"format": 1, "name": "x", "files": []}'],
)
def test_a_damaged_record_is_named(model: ImportedModel, text: str) -> None:
    (record,) = imports_folder().glob("*.json")
    record.write_text(text)

    with pytest.raises(ModelFormatError, match=r"\.json' is damaged"):
        open_import(NAME)
    (found,) = list_imports()
    assert isinstance(found, ModelError)


@pytest.mark.parametrize(
    ("key", "value"),
    [("path", "relative.gguf"), ("path", 3), ("num_bytes", "1"), ("sha256", None)],
)
def test_a_record_with_a_wrong_value_is_named(
    model: ImportedModel, key: str, value: object
) -> None:
    (path,) = imports_folder().glob("*.json")
    record = json.loads(path.read_text())
    record["files"][0][key] = value
    path.write_text(json.dumps(record))

    with pytest.raises(ModelFormatError, match="is damaged"):
        open_import(NAME)


def test_a_folder_that_cannot_be_written_is_named(
    tree: OllamaTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_LLM_DATA_DIR", str(tmp_path / "file"))

    with pytest.raises(ModelStoreError, match="cannot write"):
        import_model(NAME, OllamaStore(tree.folder))
