"""`edge-llm cache` as a user runs it, into a pipe and on a terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from edge_llm.engine.snapshots import SnapshotStore
from tests.cli.test_chat import COMMAND


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "prefixes"
    store = SnapshotStore(
        path, "f", max_bytes=10**9, max_daily_write_bytes=10**9, label="tiny\x1b[31m"
    )
    for count in (3, 1500):
        store.save(range(count), bytes(2000), pinned=True)
        assert store.flush()
    store.save([7], b"seen once")
    store.close()
    return path


def run(
    folder: Path, *arguments: str, answer: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "cache", *arguments],
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "EDGE_LLM_CACHE_DIR": str(folder)},
    )


def on_terminal(folder: Path, *arguments: str, answer: str = "") -> str:
    """What the command shows when all its streams are a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "EDGE_LLM_CACHE_DIR": str(folder)}
    process = subprocess.Popen(
        [*COMMAND, "cache", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    os.write(master, answer.encode())
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)
    assert process.wait(30) == 0
    return shown.decode()


def test_into_a_pipe_goes_one_json_object(folder: Path) -> None:
    listed = json.loads(run(folder, "ls").stdout)
    stats = json.loads(run(folder, "stats").stdout)

    assert listed["folder"] == str(folder)
    assert [s["tokens"] for s in listed["snapshots"]] == [1500, 3]
    assert {s["problem"] for s in listed["snapshots"]} == {None}
    assert (stats["snapshots"], stats["tokens"], stats["seen_once"]) == (2, 1503, 1)
    assert stats["bytes"] == sum(s["bytes"] for s in listed["snapshots"])
    assert stats["bytes"] < stats["written_today_bytes"] < stats["daily_write_bytes"]


def test_on_a_terminal_it_is_a_table_and_nothing_in_it_is_obeyed(folder: Path) -> None:
    shown = on_terminal(folder, "ls")

    assert shown.splitlines()[0].split() == ["model", "tokens", "size", "last", "used", "file"]
    assert "1500" in shown
    assert "just now" in shown
    assert "\x1b" not in shown
    assert "2 prefixes, 1503 tokens" in on_terminal(folder, "stats")
    assert json.loads(on_terminal(folder, "stats", "--json"))["snapshots"] == 2


def test_clear_removes_everything_and_keeps_the_account(folder: Path) -> None:
    cleared = json.loads(run(folder, "clear", "--yes").stdout)

    assert cleared["removed"] == 2
    assert cleared["freed_bytes"] > 4000
    stats = json.loads(run(folder, "stats").stdout)
    assert (stats["snapshots"], stats["seen_once"]) == (0, 0)
    assert stats["written_today_bytes"] > 4000
    assert "no prefixes" in on_terminal(folder, "ls")


def test_clear_asks_first(folder: Path) -> None:
    refused = run(folder, "clear", answer="")

    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert "nothing was removed" in on_terminal(folder, "clear", answer="n\n")
    assert json.loads(run(folder, "stats").stdout)["snapshots"] == 2
    assert "removed 2 prefixes" in on_terminal(folder, "clear", answer="y\n")


def test_a_damaged_file_is_named(folder: Path) -> None:
    path = next(folder.glob("*.kv"))
    path.write_bytes(path.read_bytes()[:-1])

    assert "add up" in run(folder, "ls").stdout
    assert json.loads(run(folder, "stats").stdout)["unusable"] == 1
    assert "1 files" in on_terminal(folder, "stats")


def add_graph(folder: Path, name: str, **manifest: object) -> Path:
    path = folder / "compiled" / name
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(bytes(1000))
    files = {"model.onnx": "0" * 64}
    found = {"format": 1, "model": "tiny\x1b[31m/m.onnx", "provider": "QNN", "files": files}
    (path / "manifest.json").write_text(json.dumps(found | manifest))
    return path


def test_compiled_graphs_are_listed_and_counted(folder: Path) -> None:
    add_graph(folder, "0" * 32)
    (add_graph(folder, "1" * 32) / "model.onnx").unlink()
    (add_graph(folder, "2" * 32) / "manifest.json").write_text("[")
    add_graph(folder, ".3.new")

    listed = {graph["folder"]: graph for graph in json.loads(run(folder, "ls").stdout)["compiled"]}
    stats = json.loads(run(folder, "stats").stdout)

    assert [name[0] for name in sorted(listed)] == ["0", "1", "2"]
    assert listed["0" * 32]["provider"] == "QNN"
    assert listed["0" * 32]["problem"] is None
    assert "missing" in listed["1" * 32]["problem"]
    assert "manifest" in listed["2" * 32]["problem"]
    assert stats["compiled"] == 3
    assert stats["compiled_bytes"] == sum(graph["bytes"] for graph in listed.values())
    shown = on_terminal(folder, "ls")
    assert "compiled" in shown
    assert "\x1b" not in shown
    assert "3 graphs" in on_terminal(folder, "stats")


def test_clear_removes_compiled_graphs_but_none_that_is_being_written(folder: Path) -> None:
    add_graph(folder, "0" * 32)
    fresh, abandoned = add_graph(folder, ".1.new"), add_graph(folder, ".2.old")
    os.utime(abandoned, (0, 0))

    cleared = json.loads(run(folder, "clear", "--yes").stdout)

    assert (cleared["removed"], cleared["removed_compiled"]) == (2, 2)
    assert cleared["freed_bytes"] > 4000 + 2000
    assert list((folder / "compiled").iterdir()) == [fresh]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    absent = tmp_path / "absent"

    assert json.loads(run(absent, "stats").stdout)["snapshots"] == 0
    assert json.loads(run(absent, "clear", "--yes").stdout)["removed"] == 0
    assert not absent.exists()


def test_the_cache_is_listed_without_numpy_or_a_model_library() -> None:
    heavy = ["numpy", "llama_cpp", "jinja2", "psutil"]
    code = (
        "import sys, edge_llm.cli.cache, edge_llm.engine.snapshots\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
