"""Other programs' stores are found and read, and believed only as far as they can be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_llm.errors import (
    ModelError,
    ModelFormatError,
    ModelNotFoundError,
    ModelReferenceError,
    UnsupportedModelError,
)
from edge_llm.hub.foreign import find_stores, foreign_name, store_of
from edge_llm.hub.lmstudio_store import LMStudioStore
from edge_llm.hub.ollama_store import MAX_MANIFEST_BYTES, OllamaStore
from tests.support.gguf_files import TinySpec, tiny_model
from tests.support.stores import MANIFEST, MANIFEST_LIST, MODEL, OllamaTree, write_lmstudio

LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def tree(tmp_path: Path) -> OllamaTree:
    return OllamaTree(tmp_path / ".ollama" / "models")


def store(tree: OllamaTree) -> OllamaStore:
    return OllamaStore(tree.folder)


def test_models_have_the_names_that_ollama_gives_them(tree: OllamaTree) -> None:
    manifest = tree.manifest()
    tree.add(f"{LIBRARY}/qwen3/0.6b", manifest)
    tree.add("registry.ollama.ai/somebody/tiny/latest", manifest)
    tree.add("hf.co/acme/Tiny-GGUF/Q4_K_M", manifest)
    tree.link("ollama.com/library/gemma3/1b", manifest)
    tree.link("ollama.com/library/qwen3/0.6b", manifest)

    assert store(tree).names() == [
        "ollama:gemma3:1b",
        "ollama:hf.co/acme/Tiny-GGUF:Q4_K_M",
        "ollama:qwen3:0.6b",
        "ollama:somebody/tiny:latest",
    ]
    assert foreign_name("ollama:somebody/tiny") == "ollama:somebody/tiny:latest"
    assert foreign_name("ollama:hf.co/a/b:x") == "ollama:hf.co/a/b:x"


def test_the_blob_of_the_weights_is_the_model(tree: OllamaTree) -> None:
    manifest = tree.manifest()
    tree.add(f"{LIBRARY}/qwen3/0.6b", manifest)

    (file,) = store(tree).files("ollama:qwen3:0.6b")

    layer = manifest["layers"][0]
    assert (f"sha256:{file.sha256}", file.num_bytes) == (layer["digest"], layer["size"])
    assert file.path.read_bytes()[:4] == b"GGUF"


def test_of_a_list_of_manifests_the_one_for_llama_cpp_is_taken(tree: OllamaTree) -> None:
    child = tree.manifest()
    other = {"mediaType": MANIFEST, "runner": "mlx", "layers": [], "digest": tree.add_blob(b"{}")}
    reference = {
        "mediaType": MANIFEST,
        "runner": "llamacpp",
        "digest": tree.add_blob(json.dumps(child).encode()),
    }
    tree.link("ollama.com/library/a/latest", _list(other, reference))
    tree.link("ollama.com/library/b/latest", _list(other, {**child, "runner": "ollama"}))
    tree.link("ollama.com/library/c/latest", _list(other))

    digest = child["layers"][0]["digest"]
    for name in ("ollama:a:latest", "ollama:b:latest"):
        assert f"sha256:{store(tree).files(name)[0].sha256}" == digest
    with pytest.raises(UnsupportedModelError, match="only for mlx"):
        store(tree).files("ollama:c:latest")


def _list(*children: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": list(children)}


def _layers(**changes: Any) -> dict[str, Any]:
    layer = {"mediaType": MODEL, "digest": f"sha256:{'0' * 64}", "size": 10, **changes}
    return {"mediaType": MANIFEST, "layers": [layer]}


HOSTILE: list[tuple[Any, type[ModelError], str]] = [
    ("", ModelFormatError, "no JSON"),
    ("{", ModelFormatError, "no JSON"),
    ("\udcff\x00".encode("utf-8", "replace").decode(), ModelFormatError, "no JSON"),
    ("[" * 100_000, ModelFormatError, "no JSON"),
    ("[1]", ModelFormatError, "no JSON object"),
    ('"x"' + " " * MAX_MANIFEST_BYTES, ModelFormatError, "more than"),
    ({}, UnsupportedModelError, "names 0 GGUF files"),
    ({"layers": 3}, UnsupportedModelError, "names 0 GGUF files"),
    ({"layers": [1, None, []]}, UnsupportedModelError, "names 0 GGUF files"),
    ({"layers": _layers()["layers"] * 2}, UnsupportedModelError, "names 2 GGUF files"),
    (_layers(digest="../../../etc/passwd"), ModelFormatError, "no digest"),
    (_layers(digest="sha256:../../../../etc/passwd"), ModelFormatError, "no digest"),
    (_layers(digest="sha256:" + "0" * 63 + "/"), ModelFormatError, "no digest"),
    (_layers(digest="sha256:" + "٣" * 64), ModelFormatError, "no digest"),
    (_layers(digest=None), ModelFormatError, "no digest"),
    (_layers(size="big"), ModelFormatError, "the size 'big'"),
    (_layers(size=-1), ModelFormatError, "the size -1"),
    (_layers(size=True), ModelFormatError, "the size True"),
    (_layers(), ModelNotFoundError, "pull the model again"),
    (_list(), UnsupportedModelError, "for nobody"),
    (_list({"runner": "ollama", "digest": "x"}), ModelFormatError, "no digest"),
    (_list({"runner": [], "digest": {}}), UnsupportedModelError, "nothing for llama.cpp"),
]


@pytest.mark.parametrize(("manifest", "error", "message"), HOSTILE)
def test_hostile_manifests_are_typed_errors(
    tree: OllamaTree, manifest: Any, error: type[ModelError], message: str
) -> None:
    tree.add(f"{LIBRARY}/evil/latest", manifest)

    with pytest.raises(error, match=message):
        store(tree).files("ollama:evil:latest")


def test_a_blob_of_another_size_is_refused(tree: OllamaTree) -> None:
    manifest = tree.manifest()
    manifest["layers"][0]["size"] += 1
    tree.add(f"{LIBRARY}/qwen3/0.6b", manifest)

    with pytest.raises(ModelFormatError, match="promises"):
        store(tree).files("ollama:qwen3:0.6b")


def test_links_that_lead_out_of_the_store_are_refused(tree: OllamaTree, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(_layers()))
    link = tree.add(f"{LIBRARY}/evil/latest", "")
    link.unlink()
    link.symlink_to(secret)

    with pytest.raises(ModelFormatError, match="leads out"):
        store(tree).files("ollama:evil:latest")


def test_names_that_are_no_names_are_not_listed(tree: OllamaTree) -> None:
    tree.add(f"{LIBRARY}/evil\x1b[31m/latest", "{}")
    tree.add(f"{LIBRARY}/evil/.manifest-123", "{}")
    (tree.folder / "manifests" / LIBRARY / "a" / "folder").mkdir(parents=True)
    (tree.folder / "manifests" / ".DS_Store").write_text("x")

    assert store(tree).names() == []


def test_stores_are_found_where_the_programs_keep_them(tmp_path: Path, tree: OllamaTree) -> None:
    old = write_lmstudio(tmp_path / ".cache/lm-studio/models", {})
    old.mkdir(parents=True)
    moved = tmp_path / "disk" / "models"
    moved.mkdir(parents=True)
    (tmp_path / ".lmstudio").mkdir()
    settings = tmp_path / ".lmstudio" / "settings.json"
    settings.write_text(json.dumps({"downloadsFolder": str(moved)}))

    assert [found.folder for found in find_stores({}, tmp_path)] == [tree.folder, moved, old]

    settings.write_text("[" * 5000)
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'disk'}\n")
    other = OllamaTree(tmp_path / "elsewhere")
    environ = {"OLLAMA_MODELS": str(other.folder)}

    assert [found.folder for found in find_stores(environ, tmp_path)] == [
        other.folder,
        moved,
        old,
    ]
    assert find_stores({"OLLAMA_MODELS": str(tmp_path / "gone")}, tmp_path / "x") == []


def test_a_store_that_cannot_be_looked_into_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A name that is too long fails as a folder without permission does, for any user.
    assert find_stores({"OLLAMA_MODELS": "x" * 5000}, tmp_path) == []

    assert "are not seen: File name too long" in caplog.text


def test_lm_studio_lists_models_once_and_no_vision_parts(tmp_path: Path) -> None:
    names = [
        "acme/Tiny-GGUF/tiny-Q4_K_M.gguf",
        "acme/Tiny-GGUF/mmproj-tiny-f16.gguf",
        "acme/Big-GGUF/big-00001-of-00002.gguf",
        "acme/Big-GGUF/big-00002-of-00002.gguf",
        "acme/Tiny-GGUF/notes.txt",
    ]
    found = LMStudioStore(write_lmstudio(tmp_path, dict.fromkeys(names, b"GGUF")))

    assert found.names() == [
        "lmstudio:acme/Big-GGUF/big-00001-of-00002.gguf",
        "lmstudio:acme/Tiny-GGUF/tiny-Q4_K_M.gguf",
    ]
    parts = found.files("lmstudio:acme/Big-GGUF/big-00001-of-00002.gguf")
    assert [part.path.name for part in parts] == [Path(name).name for name in names[2:4]]

    (tmp_path / names[3]).unlink()
    with pytest.raises(ModelNotFoundError, match="big-00002-of-00002"):
        found.files("lmstudio:acme/Big-GGUF/big-00001-of-00002.gguf")


@pytest.mark.parametrize("name", ["../../x.gguf", "a/../b.gguf", "a/b", "a//b", "a/b/c/d.gguf"])
def test_lm_studio_names_cannot_leave_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFormatError, match="not of the form"):
        LMStudioStore(tmp_path).files(f"lmstudio:{name}")


def test_a_name_that_no_store_has_names_near_ones(tmp_path: Path, tree: OllamaTree) -> None:
    tree.add(f"{LIBRARY}/qwen3/0.6b", tree.manifest(tiny_model(TinySpec())))

    with pytest.raises(ModelReferenceError) as caught:
        store_of("ollama:qwen3:0.6", find_stores({}, tmp_path))

    assert "'ollama:qwen3:0.6b'" in str(caught.value.hint)
