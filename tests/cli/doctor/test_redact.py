"""What a report keeps back."""

from pathlib import Path

import pytest

from edge_llm.cli.doctor.redact import REMOVED, Redactor, is_secret_name, token_files


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "OPENAI_API_KEY", "apikey", "AWS_SECRET_ACCESS_KEY", "db_password", "X-Auth-Key"],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["tokenizers", "keep_alive", "keyboard", "HF_HOME", "monkey"])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "hf_abcdefghijklmnop",
        "sk-proj-abcdefgh12345678",
        "ghp_abcdefghijklmnop1234",
        "Authorization: Bearer abc.def-ghi_jkl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "AKIAIOSFODNN7EXAMPLE",
        "https://someone:abcdefgh1@host/path",
        "https://host/path?access_token=abcdefgh1&x=1",
    ],
)
def test_tokens_are_known_by_their_shape(text: str) -> None:
    found = Redactor({}).text(f"before {text} after")

    assert REMOVED in found
    assert found.startswith("before ")
    assert found.endswith(" after")
    for part in ("abcdefgh", "c2lnbmF0dXJl", "IOSFODNN7", "abc.def"):
        assert part not in found


def test_names_of_people_hosts_and_homes_go_and_paths_stay_readable() -> None:
    redactor = Redactor({"HOME": "/home/ada.l", "USER": "ada.l", "HOSTNAME": "difference-engine"})

    assert redactor.text("/home/ada.l/models/x.gguf") == "~/models/x.gguf"
    assert redactor.text("/home/bob/x") == "/home/<user>/x"
    assert redactor.text("ada.l on difference-engine") == "<user> on <host>"
    assert redactor.text("adapter") == "adapter"
    assert redactor.text("/home/ada.l/x", names=False) == "/home/ada.l/x"


def test_token_files_are_read_and_what_is_in_them_goes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-without-any-known-shape\n")
    files = token_files({"HF_HOME": str(tmp_path)})

    redactor = Redactor({}, files)

    assert redactor.text("x a-token-without-any-known-shape y") == f"x {REMOVED} y"


def test_records_are_redacted_at_every_depth() -> None:
    record = {
        "a": [{"api_key": "abc", "b": "hf_abcdefghijkl"}],
        "hf_abcdefghijkl": 1,
        "token": "set",
    }

    assert Redactor({}).record(record) == {
        "a": [{"api_key": REMOVED, "b": REMOVED}],
        REMOVED: 1,
        "token": "set",
    }
