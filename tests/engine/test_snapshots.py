"""The prefix cache on disk: what is kept, what goes first, and what no trouble can break."""

import errno
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.engine import snapshot_writer
from edge_llm.engine.snapshot_file import SnapshotHeader, pack_tokens
from edge_llm.engine.snapshot_folder import SnapshotFolder
from edge_llm.engine.snapshot_ledger import MAX_SEEN, Ledger, read_ledger
from edge_llm.engine.snapshots import SnapshotStore, open_snapshot_store
from tests.support.gguf_files import write_tiny_model
from tests.support.snapshots import kill_in_the_middle, survey

DAY = 86_400.0
STATE = random.Random(0).randbytes(10_000)


class Clock:
    def __init__(self) -> None:
        self.now = 20_000 * DAY

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    # The disk of a test machine may be nearly full; the rule has a test of its own.
    monkeypatch.setattr(snapshot_writer, "MIN_FREE_BYTES", 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(folder: Path, fingerprint: str = "f", **options: Any) -> SnapshotStore:
    return SnapshotStore(
        folder, fingerprint, **{"max_bytes": 10**9, "max_daily_write_bytes": 10**9, **options}
    )


def put(store: SnapshotStore, tokens: list[int], state: bytes = STATE) -> bool:
    accepted = store.save(tokens, state, pinned=True)
    assert store.flush()
    return accepted


def get(store: SnapshotStore, tokens: list[int]) -> bytes | None:
    match = store.match(tokens)
    return None if match is None else store.load(match)


def file_of(store: SnapshotStore, tokens: list[int]) -> Path:
    match = store.match(tokens)
    assert match is not None
    return store._folder.path / match.name


def test_the_longest_stored_prefix_is_found(tmp_path: Path) -> None:
    store = make(tmp_path)
    for length in (2, 5, 9):
        put(store, list(range(length)), bytes([length]) * 100)
    put(store, [0, 1, 2, 99], b"other")

    assert store.match([7, 1]) is None
    for asked, found in ((2, 2), (4, 2), (5, 5), (8, 5), (9, 9), (40, 9)):
        match = store.match(list(range(asked)))
        assert match is not None
        assert match.num_tokens == found
        assert store.load(match) == bytes([found]) * 100


def test_prefixes_survive_a_restart(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store, [1, 2, 3])
    store.close()
    store.close()

    assert get(make(tmp_path), [1, 2, 3, 4]) == STATE


def test_another_fingerprint_sees_nothing_and_removes_nothing(tmp_path: Path) -> None:
    put(make(tmp_path, "one"), [1, 2, 3])

    other = make(tmp_path, "other")

    assert other.match([1, 2, 3]) is None
    assert get(make(tmp_path, "one"), [1, 2, 3]) == STATE


def test_a_file_under_the_name_of_another_model_is_not_believed(tmp_path: Path) -> None:
    mine, other = make(tmp_path / "a", "one"), make(tmp_path / "b", "other")
    put(mine, [1, 2, 3])
    put(other, [1, 2, 3])
    file_of(mine, [1, 2, 3]).write_bytes(file_of(other, [1, 2, 3]).read_bytes())

    assert get(mine, [1, 2, 3]) is None
    assert make(tmp_path / "a", "one").match([1, 2, 3]) is None


def test_only_the_second_offer_is_written_and_only_then_is_the_state_asked_for(
    tmp_path: Path,
) -> None:
    store = make(tmp_path)
    asked = []

    def export() -> bytes:
        asked.append(1)
        return STATE

    assert not store.save([1, 2], export)
    assert not asked
    assert store.save([1, 2], export)
    assert store.flush()
    assert not store.save([1, 2], export)
    assert len(asked) == 1
    assert get(store, [1, 2]) == STATE


@pytest.mark.parametrize("closed", [True, False])
def test_what_was_offered_once_is_remembered_across_restarts(tmp_path: Path, closed: bool) -> None:
    store = make(tmp_path)
    assert not store.save([1, 2], STATE)
    if closed:
        store.close()
    else:  # killed: the first that is seen is written down at once
        wait_for(lambda: bool(read_ledger(tmp_path / "ledger.json").seen))
        wait_for(lambda: not store._book.has_unwritten)

    assert make(tmp_path).save([1, 2], STATE)


def wait_for(condition: Any, timeout_s: float = 10.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_memory_of_what_was_seen_is_bounded() -> None:
    ledger = Ledger()
    ledger.note_seen(str(i) for i in range(3 * MAX_SEEN))

    assert list(ledger.seen) == [str(i) for i in range(2 * MAX_SEEN, 3 * MAX_SEEN)]
    assert len(ledger.encode()) < 20_000


def test_the_size_is_bounded_and_the_least_recently_used_goes_first(
    tmp_path: Path, clock: Clock
) -> None:
    store = make(tmp_path, max_bytes=35_000, clock=clock)
    for i in range(3):
        put(store, [i])
        clock.now += 10
    clock.now -= 5 * DAY  # a clock that goes back must not turn the order round
    assert get(store, [0]) == STATE

    put(store, [3])

    assert [get(store, [i]) is not None for i in range(4)] == [True, False, True, True]
    assert store.stats().evicted == 1
    assert sum(f.num_bytes for f in SnapshotFolder(tmp_path).scan()) <= 35_000


def test_the_order_of_use_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path, clock=clock)
    for i in range(3):
        put(store, [i])
        clock.now += 10
    assert get(store, [0]) == STATE
    store.close()

    again = make(tmp_path, max_bytes=35_000, clock=clock)
    put(again, [3])

    assert [get(again, [i]) is not None for i in range(4)] == [True, False, True, True]


def test_use_is_noted_on_disk_once_an_hour(tmp_path: Path, clock: Clock) -> None:
    store = make(tmp_path, clock=clock)
    put(store, [1])
    path, written = file_of(store, [1]), clock.now

    clock.now += 1800
    get(store, [1])
    assert path.stat().st_mtime == pytest.approx(written, abs=1)
    clock.now += 1801
    get(store, [1])
    assert path.stat().st_mtime == pytest.approx(clock.now, abs=1)


def test_eviction_reaches_the_snapshots_of_other_models(tmp_path: Path) -> None:
    put(make(tmp_path, "old"), [1])
    store = make(tmp_path, "new", max_bytes=15_000)

    put(store, [1])

    assert get(make(tmp_path, "old"), [1]) is None
    assert get(store, [1]) == STATE


def test_a_state_larger_than_the_cache_is_not_written(tmp_path: Path) -> None:
    store = make(tmp_path, max_bytes=5_000)

    assert not put(store, [1])
    assert store.stats().dropped == 1


def test_a_day_has_its_budget_across_restarts(tmp_path: Path, clock: Clock) -> None:
    options: dict[str, Any] = {"max_daily_write_bytes": 25_000, "clock": clock}
    store = make(tmp_path, **options)
    assert [put(store, [i]) for i in range(3)] == [True, True, False]
    assert store.stats().refused_by_budget == 1
    store.close()
    assert not put(make(tmp_path, **options), [3])

    clock.now -= 3 * DAY
    assert not put(make(tmp_path, **options), [3])
    clock.now += 4 * DAY
    assert put(make(tmp_path, **options), [3])


def test_two_processes_share_one_budget(tmp_path: Path) -> None:
    one, other = (make(tmp_path, f, max_daily_write_bytes=25_000) for f in "ab")
    put(one, [1])
    put(one, [2])

    assert put(other, [1])  # it does not know yet
    assert other.match([1]) is None
    assert other.stats().refused_by_budget == 1


def test_no_budget_writes_nothing_and_still_reads(tmp_path: Path) -> None:
    put(make(tmp_path), [1])
    store = make(tmp_path, max_daily_write_bytes=0)

    assert not put(store, [2])
    assert get(store, [1]) == STATE


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"day": -1, "written_bytes": 0}', "[" * 60_000]
)
def test_a_ledger_that_is_none_counts_as_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger.json").write_text(text)

    assert put(make(tmp_path), [1])
    assert json.loads((tmp_path / "ledger.json").read_text())["written_bytes"] > 10_000


@pytest.mark.parametrize("where", [3, 70, 5_000, -1])
def test_damage_is_found_removed_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: int
) -> None:
    store = make(tmp_path)
    put(store, [1, 2, 3])
    path = file_of(store, [1, 2, 3])
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)

    assert get(store, [1, 2, 3]) is None
    assert not path.exists()
    assert path.name in caplog.text
    assert store.stats().damaged == 1
    assert put(store, [1, 2, 3])
    assert get(store, [1, 2, 3]) == STATE


def test_a_damaged_header_is_found_when_the_folder_is_opened(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store, [1, 2, 3])
    path = file_of(store, [1, 2, 3])
    path.write_bytes(path.read_bytes()[:-1])

    again = make(tmp_path)

    assert again.match([1, 2, 3]) is None
    assert (again.stats().damaged, path.exists()) == (1, False)


def test_a_file_that_vanished_is_a_miss(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store, [1])
    match = store.match([1])
    assert match is not None
    (tmp_path / match.name).unlink()

    assert store.load(match) is None
    assert store.match([1]) is None
    assert store.stats().damaged == 0


def test_a_state_that_the_backend_refused_is_discarded(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store, [1])
    match = store.match([1])
    assert match is not None

    store.discard(match)

    assert store.match([1]) is None
    assert SnapshotFolder(tmp_path).scan() == []


def test_two_stores_on_one_folder_see_each_others_snapshots(tmp_path: Path) -> None:
    one, other = make(tmp_path), make(tmp_path)
    put(one, [1, 2])

    assert get(other, [1, 2, 3]) == STATE
    assert not put(other, [1, 2])
    put(other, [1, 2, 3], b"longer")
    assert get(one, [1, 2, 3]) == b"longer"


def test_files_and_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = make(tmp_path / "new" / "prefixes")
    put(store, [1])

    modes = {p.name: p.stat().st_mode & 0o777 for p in store._folder.path.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
    assert store._folder.path.stat().st_mode & 0o777 == 0o700


def test_half_written_files_of_the_dead_are_removed_and_others_are_left(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store, [1])
    left = tmp_path / f".{file_of(store, [1]).name}.123.tmp"
    ledger = tmp_path / ".ledger.json.99.tmp"
    foreign = [tmp_path / name for name in ("notes.txt", ".x.tmp", "a.kv")]
    for path in (left, ledger, *foreign):
        path.write_bytes(b"half")

    make(tmp_path)

    assert not left.exists()
    assert not ledger.exists()
    assert all(path.exists() for path in foreign)


def test_half_written_files_of_the_living_are_left(tmp_path: Path) -> None:
    store = make(tmp_path)
    put(store, [1])
    left = tmp_path / f".{file_of(store, [1]).name}.123.tmp"

    with SnapshotFolder(tmp_path).locked():
        left.write_bytes(b"half")
        make(tmp_path)

    assert left.exists()


def test_a_lock_that_is_never_given_back_costs_the_snapshot_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_writer, "LOCK_TIMEOUT_S", 0.1)
    store = make(tmp_path)
    with SnapshotFolder(tmp_path).locked():
        assert put(store, [1])
        assert store.stats().dropped == 1

    assert put(store, [1])
    assert get(store, [1]) == STATE


def test_the_memory_that_waiting_states_hold_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_writer, "MAX_QUEUED_BYTES", 25_000)
    store = make(tmp_path)
    with SnapshotFolder(tmp_path).locked():
        accepted = [store.save([i], STATE, pinned=True) for i in range(4)]
    assert accepted == [True, True, False, False]
    assert store.flush()
    assert put(store, [9], bytes(30_000))


def test_the_queue_is_bounded_and_nobody_waits(tmp_path: Path) -> None:
    store = make(tmp_path)
    with SnapshotFolder(tmp_path).locked():
        begin = time.monotonic()
        accepted = [store.save([i], STATE, pinned=True) for i in range(10)]
        assert time.monotonic() - begin < 1.0
    assert snapshot_writer.QUEUE_SIZE <= sum(accepted) <= snapshot_writer.QUEUE_SIZE + 1
    assert store.flush()
    assert store.stats().saved == sum(accepted)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as exc:
        pytest.skip(f"no mount: {exc}")
    if done.returncode != 0:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_only_costs_the_cache(
    small_disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_writer, "MIN_FREE_BYTES", -(1 << 40))
    store = make(small_disk)
    put(store, [0])
    for i in range(1, 4):
        put(store, [i], bytes(300_000))

    assert store.stats().failed == 1
    assert caplog.text.count("No space left") == 1
    assert get(store, [0]) == STATE
    assert not [p for p in small_disk.iterdir() if p.suffix == ".tmp"]
    monkeypatch.setattr(store._writer, "_off_until", 0.0)
    assert put(store, [5])
    assert get(store, [5]) == STATE


def test_the_last_of_the_disk_is_left_to_others(
    small_disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_writer, "MIN_FREE_BYTES", 1 << 20)
    store = make(small_disk)

    put(store, [0])

    assert "less than 1 MiB would be left free" in caplog.text
    assert SnapshotFolder(small_disk).scan() == []


def test_a_read_only_disk_is_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make(small_disk)
    put(store, [1])
    store.close()
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)

    again = make(small_disk)
    assert get(again, [1]) == STATE
    assert not put(again, [2])
    again.close()

    assert caplog.text.count("Read-only file system") == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
def test_whatever_the_disk_says_is_logged_once_and_writing_pauses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = make(tmp_path)
    calls = []

    def refuse(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        for i in range(5):
            put(store, [i])
        monkeypatch.setattr(store._writer, "_off_until", 0.0)
        put(store, [6])
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]

    assert (len(calls), len(warnings)) == (2, 1)
    monkeypatch.setattr(store._writer, "_off_until", 0.0)
    assert put(store, [1])
    assert get(store, [1]) == STATE


def test_a_folder_that_cannot_be_made_is_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = make(tmp_path / "file" / "prefixes")

    assert not put(store, [1])
    assert not store.save([1], STATE)
    assert store.match([1]) is None
    store.close(timeout_s=5)
    assert store.stats().failed >= 1


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    store = make(tmp_path / "prefixes")
    put(store, [1])
    shutil.rmtree(tmp_path / "prefixes")

    assert store.match([1]) is None
    assert put(store, [1])
    assert get(store, [1]) == STATE


def test_what_was_seen_is_not_forgotten_when_the_budget_is_spent(
    tmp_path: Path, clock: Clock
) -> None:
    store = make(tmp_path, max_daily_write_bytes=10, clock=clock)
    store.save([1], STATE)
    store.close()
    assert not (tmp_path / "ledger.json").exists()

    store = make(tmp_path, max_daily_write_bytes=12_000, clock=clock)
    put(store, [0])
    for i in range(3 * MAX_SEEN):
        store.save([i], STATE)
    clock.now += DAY
    assert store.save([3 * MAX_SEEN - 1], STATE)


def test_the_configuration_can_turn_it_off(tmp_path: Path) -> None:
    assert open_snapshot_store(EdgeConfig(cache_max_mb=0), "f") is None
    store = open_snapshot_store(EdgeConfig(cache_dir=str(tmp_path / "x")), "f", label="m")
    assert store is not None
    assert (tmp_path / "x").is_dir()


def test_many_long_prefixes_are_searched_fast(tmp_path: Path) -> None:
    store = make(tmp_path)
    base = list(range(4000))
    for i in range(300):
        tokens = base[: 4000 - 7 * i]
        header = SnapshotHeader(b"f" * 32, pack_tokens([*tokens, 9999]), 0)
        store._index.add(str(i), header)
    store._index._scanned_ns = store._folder.changed_at_ns()

    begin = time.perf_counter()
    found = store._index.match(pack_tokens(base))
    assert found is None
    assert time.perf_counter() - begin < 0.05


def test_nothing_wrong_is_ever_loaded_after_kills(tmp_path: Path) -> None:
    for seed in range(15):
        kill_in_the_middle(tmp_path, seed)
        found = survey(tmp_path)

        assert found["right"] > 0
        bad = ("wrong", "damaged", "unreadable", "too_large", "left_over")
        assert {name: found[name] for name in bad} == dict.fromkeys(bad, 0)


CONTINUE = """
import sys
import numpy as np
from pathlib import Path
from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.engine.snapshots import SnapshotStore

model, folder, out, *tokens = sys.argv[1:]
tokens = [int(t) for t in tokens]
backend = load_backend(Path(model), EdgeConfig(context_size=512, max_num_seqs=4, threads=1))
store = SnapshotStore(Path(folder), "tiny", max_bytes=10**9, max_daily_write_bytes=10**9)
match = store.match(tokens[:-1])
assert match is not None and match.num_tokens == len(tokens) - 1
backend.import_(3, store.load(match))
assert backend.length(3) == len(tokens) - 1
np.save(out, backend.forward([BatchItem(3, len(tokens) - 1, tokens[-1:], 1)]))
backend.close()
"""


def test_a_llama_cpp_sequence_continues_in_a_new_process(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", context=512)
    tokens = list(b"You answer in short sentences. Turn on the lights!")
    backend = load_backend(model, EdgeConfig(context_size=256, max_num_seqs=2, threads=1))
    backend.forward([BatchItem(0, 0, tokens[:-1], 0)])
    store = make(tmp_path / "kv", "tiny")
    put(store, tokens[:-1], backend.export(0))
    store.close()
    expected = backend.forward([BatchItem(0, len(tokens) - 1, tokens[-1:], 1)]).copy()
    backend.close()

    out = tmp_path / "logits.npy"
    arguments = [str(model), str(tmp_path / "kv"), str(out), *map(str, tokens)]
    subprocess.run([sys.executable, "-c", CONTINUE, *arguments], check=True, timeout=60)

    np.testing.assert_allclose(np.load(out), expected, atol=1e-5)
