"""Pulled models hashed again, removed, and carried to another machine."""

import json
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir

from edge_llm.errors import (
    ModelFormatError,
    ModelIntegrityError,
    ModelNotFoundError,
    ModelStoreError,
)
from edge_llm.hub.cache_layout import cache_root, repo_folder
from edge_llm.hub.installed import InstalledModel, find_installed, installed_models
from edge_llm.hub.manage import (
    MANIFEST,
    export_model,
    import_folder,
    remove_model,
    verify_model,
)
from edge_llm.hub.reference import parse_reference
from edge_llm.hub.resolve import resolve_model
from tests.hub.conftest import REPO
from tests.hub.test_pull import FILE, content, fetch
from tests.support.hub_models import onnx_repo, split_gguf
from tests.support.hub_server import HubServer


def ignore(name: str, done: int, total: int) -> None:
    pass


def pulled(text: str = REPO) -> InstalledModel:
    fetch(text)
    return find_installed(parse_reference(text))


def states(model: InstalledModel) -> list[str]:
    return [check.state for check in verify_model(model, ignore)]


def test_a_pulled_model_is_whole(hub: HubServer) -> None:
    hub.add_repo("acme/tiny-ONNX", onnx_repo())

    assert states(pulled()) == ["whole"]
    assert set(states(pulled("acme/tiny-ONNX"))) == {"whole"}


def test_a_changed_bit_is_found(hub: HubServer) -> None:
    model = pulled()
    data = bytearray(model.path.read_bytes())
    data[50_000] ^= 1
    model.path.resolve().write_bytes(data)

    assert states(model) == ["damaged"]


def test_what_another_tool_fetched_is_verified_by_its_name(hub: HubServer) -> None:
    hf_hub_download(REPO, FILE, cache_dir=cache_root(), endpoint=hub.url, token=False)
    model = find_installed(parse_reference(REPO))

    assert states(model) == ["whole"]


def test_a_file_that_nobody_promised_is_unknown(hub: HubServer) -> None:
    model = pulled()
    model.folder.promised_path(model.commit).unlink()
    data = model.path.read_bytes()
    model.path.unlink()
    model.path.write_bytes(data)

    assert states(model) == ["unknown"]


def test_a_removed_model_leaves_nothing(hub: HubServer) -> None:
    model = pulled()

    assert remove_model(model) == len(content(hub))
    assert installed_models() == []
    assert not model.folder.path.exists()


def test_removing_one_quantisation_leaves_the_others(hub: HubServer) -> None:
    hub.change(REPO, {"tiny-Q4_K_M.gguf": content(hub) + bytes(8)})
    small, large = pulled(f"{REPO}:Q4_K_M"), pulled(f"{REPO}:Q8_0")

    remove_model(small)

    assert [model.variant.quant for model in installed_models()] == ["Q8_0"]
    assert states(large) == ["whole"]
    assert scan_cache_dir(cache_root()).warnings == []


def test_contents_that_two_commits_share_stay(hub: HubServer) -> None:
    old = hub.repos[REPO].main
    first = pulled(f"hf:{REPO}@{old}")
    hub.change(REPO, {"README.md": b"new"})
    second = pulled()

    remove_model(first)

    assert states(second) == ["whole"]


def test_removing_an_onnx_model_leaves_what_another_graph_needs(hub: HubServer) -> None:
    files = onnx_repo()
    files["onnx/model_q4.onnx"] = files["onnx/model.onnx"] + b""
    hub.add_repo("acme/two-ONNX", files)
    plain, quantised = pulled("acme/two-ONNX:model.onnx"), pulled("acme/two-ONNX:q4")

    remove_model(plain)

    assert set(states(quantised)) == {"whole"}
    assert quantised.path.with_name("model_q4.onnx").exists()


@pytest.mark.parametrize("kind", ["split", "onnx"])
def test_an_exported_model_is_imported_elsewhere(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    files = split_gguf("m-Q4_0", 3) if kind == "split" else onnx_repo()
    hub.add_repo("acme/other", files)
    model = pulled("acme/other")
    export_model(model, tmp_path / "usb", ignore)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "another machine"))

    imported = import_folder(tmp_path / "usb", ignore)

    assert set(states(imported)) == {"whole"}
    assert resolve_model("acme/other").path == imported.path
    for name in model.variant.files:
        assert (imported.folder.snapshot(imported.commit) / name).read_bytes() == files[name]


def test_an_export_does_not_overwrite(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()

    with pytest.raises(ModelStoreError, match="is there already"):
        export_model(pulled(), tmp_path / "usb", ignore)


def test_a_damaged_model_is_not_exported(hub: HubServer, tmp_path: Path) -> None:
    model = pulled()
    model.path.resolve().write_bytes(bytes(len(content(hub))))

    with pytest.raises(ModelIntegrityError, match="is damaged"):
        export_model(model, tmp_path / "usb", ignore)
    assert list(tmp_path.glob("*usb*")) == []


def exported(hub: HubServer, tmp_path: Path) -> Path:
    model = pulled()
    export_model(model, tmp_path / "usb", ignore)
    remove_model(model)
    return tmp_path / "usb"


def test_a_folder_that_was_not_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="is no exported model"):
        import_folder(tmp_path, ignore)


def test_a_changed_export_is_refused(hub: HubServer, tmp_path: Path) -> None:
    folder = exported(hub, tmp_path)
    (folder / FILE).write_bytes(bytes(len(content(hub))))

    with pytest.raises(ModelIntegrityError, match="is damaged"):
        import_folder(folder, ignore)
    assert installed_models() == []


def test_an_incomplete_export_is_refused(hub: HubServer, tmp_path: Path) -> None:
    folder = exported(hub, tmp_path)
    (folder / FILE).unlink()

    with pytest.raises(ModelFormatError, match="is missing"):
        import_folder(folder, ignore)


def test_an_export_of_links_is_refused(hub: HubServer, tmp_path: Path) -> None:
    folder = exported(hub, tmp_path)
    (folder / FILE).rename(tmp_path / "elsewhere")
    (folder / FILE).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ModelFormatError, match="is a link"):
        import_folder(folder, ignore)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repo", "../../evil"),
        ("commit", "../evil"),
        ("entry", "other.gguf"),
        ("files", {"../../evil.gguf": {"bytes": 1, "hash": "0" * 64}}),
        ("files", {FILE: {"bytes": 1, "hash": "../evil"}}),
        ("files", {FILE: {"bytes": -1, "hash": "0" * 64}}),
        ("files", []),
        ("format", 2),
    ],
)
def test_a_manifest_that_leads_out_is_refused(
    hub: HubServer, tmp_path: Path, key: str, value: object
) -> None:
    folder = exported(hub, tmp_path)
    record = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(record | {key: value}))

    with pytest.raises(ModelFormatError):
        import_folder(folder, ignore)
    assert not repo_folder(REPO).snapshot("../evil").exists()
    assert list(tmp_path.rglob("evil*")) == []
