"""The door to SQLite on real files, with real processes beside it."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge_llm.errors import (
    RuntimeClosedError,
    RuntimeForkedError,
    StoreBusyError,
    StoreCorruptedError,
    StoreError,
    StoreVersionError,
)
from edge_llm.store import Schema, Store, open_store, opening

FIRST = Schema("things", ("CREATE TABLE thing (name TEXT PRIMARY KEY, size INTEGER);",))
SECOND = Schema(
    "things",
    (
        *FIRST.migrations,
        "ALTER TABLE thing ADD COLUMN colour TEXT; UPDATE thing SET colour = 'red; blue';",
    ),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "things.sqlite"


def names(store: Store) -> list[str]:
    with store.reading() as rows:
        return [name for (name,) in rows.rows("SELECT name FROM thing ORDER BY name")]


def add(store: Store, name: str) -> None:
    with store.transaction() as rows:
        rows.execute("INSERT INTO thing (name) VALUES (?)", (name,))


def add_twice(store: Store, name: str) -> None:
    with store.transaction() as rows:
        for _ in range(2):
            rows.execute("INSERT INTO thing (name) VALUES (?)", (name,))


def test_what_was_committed_is_there_again(path: Path) -> None:
    with open_store(path, FIRST) as store:
        add(store, "a")

    with open_store(path, FIRST) as store:
        assert names(store) == ["a"]


def test_a_transaction_that_raises_leaves_nothing(path: Path) -> None:
    with open_store(path, FIRST) as store:
        with pytest.raises(StoreError, match="UNIQUE"):
            add_twice(store, "a")

        assert names(store) == []
        add(store, "b")
        assert names(store) == ["b"]


def test_a_statement_tells_what_it_did(path: Path) -> None:
    with open_store(path, FIRST) as store, store.transaction() as rows:
        assert rows.insert("INSERT INTO thing (name) VALUES ('a')") == 1
        assert rows.insert("INSERT INTO thing (name) VALUES ('b')") == 2
        assert rows.execute("UPDATE thing SET size = 1") == 2
        assert rows.row("SELECT size FROM thing WHERE name = 'a'") == (1,)
        assert rows.row("SELECT size FROM thing WHERE name = 'z'") is None


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    with open_store(path, FIRST) as store:
        add(store, "a")
        beside = list(path.parent.iterdir())

        assert len(beside) == 3
        assert {stat.S_IMODE(file.stat().st_mode) for file in beside} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_a_commit_waits_for_the_disk_where_it_must(path: Path, durable: bool, level: int) -> None:
    with open_store(path, FIRST, durable=durable) as store, store.reading() as rows:
        assert rows.row("PRAGMA synchronous") == (level,)
        assert rows.row("PRAGMA journal_mode") == ("wal",)


def test_an_older_file_is_brought_up_to_date(path: Path) -> None:
    with open_store(path, FIRST) as store:
        add(store, "a")

    with open_store(path, SECOND) as store, store.reading() as rows:
        assert rows.row("SELECT name, colour FROM thing") == ("a", "red; blue")
        assert rows.row("PRAGMA user_version") == (2,)


def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    open_store(path, SECOND).close()
    before = path.read_bytes()

    with pytest.raises(StoreVersionError, match="version 2; this edge-llm knows 1"):
        open_store(path, FIRST)

    assert path.read_bytes() == before


def test_a_step_that_fails_leaves_the_version_before_it(path: Path) -> None:
    open_store(path, FIRST).close()
    broken = Schema("things", (*FIRST.migrations, "CREATE TABLE b (x); CREATE TABLE thing (x);"))

    with pytest.raises(StoreError, match="already exists"):
        open_store(path, broken)

    with open_store(path, FIRST) as store, store.reading() as rows:
        assert rows.rows("SELECT name FROM sqlite_master WHERE name = 'b'") == []


def test_a_file_of_another_part_or_program_is_refused(path: Path, tmp_path: Path) -> None:
    open_store(path, FIRST).close()
    with pytest.raises(StoreVersionError, match="not the budget file"):
        open_store(path, Schema("budget", ("CREATE TABLE a (x)",)))

    foreign = sqlite3.connect(tmp_path / "foreign.sqlite")
    foreign.execute("CREATE TABLE bookmarks (url)")
    foreign.close()
    with pytest.raises(StoreVersionError, match="not the things file"):
        open_store(tmp_path / "foreign.sqlite", FIRST)


def test_what_is_no_database_is_an_error_that_says_what_to_do(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this was never a database" * 100)

    with pytest.raises(StoreCorruptedError, match="move it away"):
        open_store(path, FIRST)


def test_damage_in_the_middle_is_found_when_the_file_is_opened(path: Path) -> None:
    with open_store(path, FIRST) as store, store.transaction() as rows:
        for index in range(500):
            rows.execute("INSERT INTO thing (name) VALUES (?)", (f"{index:060d}",))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 600] = b"\xff" * 600
    path.write_bytes(damaged)

    with pytest.raises(StoreCorruptedError, match="is damaged"):
        open_store(path, FIRST)


def test_every_cut_and_every_flipped_page_is_a_sound_file_or_a_typed_error(path: Path) -> None:
    with open_store(path, FIRST) as store, store.transaction() as rows:
        for index in range(200):
            rows.execute("INSERT INTO thing (name) VALUES (?)", (f"{index:060d}",))
    whole = path.read_bytes()
    for at in range(0, len(whole), 512):
        flipped = whole[:at] + bytes(b ^ 0xFF for b in whole[at : at + 16]) + whole[at + 16 :]
        for content in (whole[:at], flipped):
            path.write_bytes(content)
            try:
                with open_store(path, FIRST) as store:
                    names(store)
            except StoreError:
                pass
            for name in ("things.sqlite-wal", "things.sqlite-shm"):
                (path.parent / name).unlink(missing_ok=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="state_dir"):
        open_store(tmp_path / "file" / "things.sqlite", FIRST)


def test_a_writer_that_stays_too_long_makes_others_say_so(path: Path) -> None:
    with open_store(path, FIRST) as one, open_store(path, FIRST, busy_timeout_s=0.05) as other:
        with one.transaction() as rows:
            rows.execute("INSERT INTO thing (name) VALUES ('a')")
            assert names(other) == []
            with pytest.raises(StoreBusyError), other.transaction():
                pass

        assert names(other) == ["a"]


def test_a_transaction_inside_a_transaction_is_refused(path: Path) -> None:
    with open_store(path, FIRST) as store:
        with pytest.raises(StoreError, match="end it first"), store.transaction():
            add(store, "a")

        assert names(store) == []


def test_threads_share_one_store(path: Path) -> None:
    with open_store(path, FIRST) as store:
        threads = [threading.Thread(target=add, args=(store, f"{i:02}")) for i in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert names(store) == [f"{i:02}" for i in range(20)]


def test_after_close_every_use_raises(path: Path) -> None:
    store = open_store(path, FIRST)
    store.close()
    store.close()

    with pytest.raises(RuntimeClosedError):
        names(store)


def test_after_a_fork_the_child_is_refused_and_the_parent_goes_on(path: Path) -> None:
    with open_store(path, FIRST) as store:
        child = os.fork()
        if child == 0:
            try:
                names(store)
            except RuntimeForkedError:
                store.close()
                os._exit(7)
            os._exit(1)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 7
        add(store, "a")
        assert names(store) == ["a"]


PROCESS = """
import sys
from tests.store.test_store import SECOND, add
from edge_llm.store import open_store
with open_store(sys.argv[1], SECOND) as store:
    for index in range(20):
        add(store, f"{sys.argv[2]}-{index:02}")
"""


def test_processes_that_open_and_write_at_once_lose_nothing(path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(path), str(index)])
        for index in range(4)
    ]

    assert [process.wait() for process in started] == [0] * 4
    with open_store(path, SECOND) as store:
        assert len(names(store)) == 80


def test_a_file_that_another_is_just_making_is_seen_at_one_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, others = opening._pragma, [True]

    def read_slowly(connection: sqlite3.Connection, name: str) -> int:
        value = read(connection, name)
        if others:
            others.clear()
            # It makes its tables now, or finds the file busy and gives up.
            with contextlib.suppress(StoreBusyError):
                open_store(path, FIRST, busy_timeout_s=0.05).close()
        return value

    monkeypatch.setattr(opening, "_pragma", read_slowly)

    with open_store(path, FIRST) as store:
        assert names(store) == []
