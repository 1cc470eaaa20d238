"""`edge-llm doctor` as a user runs it."""

import json
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from tests.cli.test_chat import COMMAND

SECRETS = {
    "HF_TOKEN": "hf_PlantedTokenOfTheEnvironment12",
    "OPENAI_API_KEY": "sk-planted-openai-0123456789abcdef",
    "SOME_PASSWORD": "planted password with spaces",
    "HTTPS_PROXY": "http://proxyuser:planted-proxy-pass@127.0.0.1:9",
    "HF_ENDPOINT": "http://hubuser:planted-hub-pass@127.0.0.1:9/hub?token=planted-query-token",
    "EDGE_LLM_SYSTEM_PROMPT": "planted system prompt, the alarm code is 4711-0815",
    "EDGE_LLM_PROVIDER": "qnn",
    "EDGE_LLM_PROVIDER_OPTIONS": "api_key=planted-option-key,backend_path=/opt/x.so",
    "EDGE_LLM_THREADS": "Bearer planted-in-a-number",
    "EDGE_LLM_API_KEYX": "planted-in-an-unknown-variable",
    "UNRELATED_VARIABLE": "planted-unrelated-text",
    "USER": "plantedusername",
    "HOSTNAME": "planted-host-name",
}
PLANTED = (
    *("PlantedToken", "planted-openai", "planted password", "planted-proxy-pass", "proxyuser"),
    *("planted-hub-pass", "hubuser", "planted-query-token", "4711-0815", "planted-option-key"),
    *("planted-in-a-number", "planted-in-an-unknown", "planted-unrelated", "plantedusername"),
    *("planted-host-name", "PlantedFileToken", "PlantedStoredToken"),
)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environ},
    )


def plant(folder: Path) -> dict[str, str]:
    """A home full of secrets, and the environment that names it."""
    home = folder / "homes" / "plantedusername"
    tokens = home / ".cache" / "huggingface"
    tokens.mkdir(parents=True)
    (tokens / "token").write_text("hf_PlantedFileTokenAbcdefgh\n")
    (tokens / "stored_tokens").write_text("[mine]\nhf_token = hf_PlantedStoredTokenAbcd\n")
    prefixes = str(home / "cache" / "prefixes")
    hidden = {"XDG_CACHE_HOME": "", "HF_HOME": "", "EDGE_LLM_CACHE_DIR": prefixes}
    return {**SECRETS, **hidden, "HOME": str(home)}


def test_everything_is_in_the_record() -> None:
    done = run("--json")
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)

    assert record["machine"]["memory_bytes"] > 0
    assert record["machine"]["bandwidth_gb_s"] > 0.1
    assert record["libraries"]["packages"]["edge-llm"] == record["edge_llm"]
    assert record["libraries"]["onnxruntime"]["providers"]
    assert record["caches"]["prefixes"]["folder"]
    assert record["configuration"]["settings"]["cache_dir"]["source"] == "EDGE_LLM_CACHE_DIR"
    assert record["configuration"]["settings"]["threads"]["source"] == "default"
    assert "endpoints" not in record
    for finding in record["findings"]:
        assert finding["severity"] in ("error", "warning", "note")
        assert finding["what"]
        assert finding["meaning"]


def test_a_pipe_gets_plain_lines() -> None:
    done = run()

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("machine\n  name: ")
    assert "\x1b" not in done.stdout


def test_a_terminal_gets_tables() -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "doctor"], stdout=follower, env={**os.environ, "TERM": "xterm", "COLUMNS": "90"}
    ) as child:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 1 << 16)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(leader)

    assert child.returncode == 0
    assert b"\x1b[" in shown
    assert b"machine" in shown


def test_a_wrong_setting_is_a_finding_and_not_the_end() -> None:
    done = run("--json", EDGE_LLM_THREADS="many", EDGE_LLM_CONTEXT_SIZ="100")
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)["findings"]

    wrong = [f for f in findings if f["about"] == "configuration" and f["severity"] == "error"]
    assert any("EDGE_LLM_THREADS" in f["what"] for f in wrong)
    assert any("EDGE_LLM_CONTEXT_SIZE" in f["what"] for f in wrong)


def test_the_bundle_holds_no_secret_wherever_it_was(tmp_path: Path) -> None:
    bundle = tmp_path / "report.zip"
    done = run("--bundle", str(bundle), "--online", **plant(tmp_path))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(bundle) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}

    assert set(texts) == {"README.txt", "doctor.json"}
    record = json.loads(texts["doctor.json"])
    assert record["configuration"]["environment"]["HF_TOKEN"] == "set"
    assert record["configuration"]["settings"]["system_prompt"]["value"] == "50 characters"
    assert record["endpoints"]["model hub"]["identity"] == "HF_TOKEN"
    everything = "\n".join(texts.values())
    assert [secret for secret in PLANTED if secret in everything] == []
    assert str(tmp_path / "homes") not in everything
    assert bundle.stat().st_mode & 0o077 == 0


def test_what_is_printed_holds_no_secret_either(tmp_path: Path) -> None:
    names = ("plantedusername", "planted-host-name")
    for arguments in ((), ("--json",)):
        done = run(*arguments, "--online", **plant(tmp_path / "-".join(("a", *arguments))))
        shown = done.stdout + done.stderr

        assert done.returncode == 0, done.stderr
        assert [s for s in PLANTED if s not in names and s in shown] == []


def test_a_bundle_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = run("--bundle", str(tmp_path / "absent" / "report.zip"))

    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_that_asks_does_not_load_what_it_asks_about() -> None:
    code = (
        "import sys; from edge_llm.cli.doctor import run; run.examine();"
        "print([m for m in ('llama_cpp', 'onnxruntime', 'tokenizers', 'openai') if m in"
        " sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.stdout.strip() == "[]", done.stderr
