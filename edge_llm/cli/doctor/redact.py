"""What must not leave the machine in a report: keys, tokens, names of people, hosts and folders."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

REMOVED = "<removed>"

_SECRET_NAME = re.compile(
    r"tokens?$|token[_-]|secret|passw|api_?key|access_?key|private_?key|credential"
    r"|(^|[_-])(key|auth|pwd|cookie)($|[_-])",
    re.IGNORECASE,
)
_SHAPES = (
    re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{8,}"),
    re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}"),
    re.compile(r"\b(?:gh[pousr]|github_pat|glpat|xox[abprs])[_-][A-Za-z0-9_-]{8,}"),
    re.compile(r"\bAKIA[A-Z0-9]{12,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}"),
)
"""How tokens of Hugging Face, OpenAI and others, GitHub, Slack, AWS, and JWTs look."""
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(?i)([?&][\w-]*(?:token|key|secret|sig|signature|password)[\w-]*=)[^&\s]+")
_OTHERS_HOMES = re.compile(r"(/home/|/Users/|\\Users\\)[^/\\\s'\":,]+")
_HARMLESS = frozenset(("set", "none", "unknown", ""))
"""What is said of a secret instead of it."""
_LEAST_LENGTH = 4
"""Shorter names and secrets would also hide words that merely contain them."""


def is_secret_name(name: str) -> bool:
    """Whether the value of a variable or option of this name must not be shown."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Knows the secrets and names of this machine, and takes them out of texts and records."""

    def __init__(
        self, environ: Mapping[str, str] | None = None, token_files: tuple[Path, ...] = ()
    ) -> None:
        given = dict(os.environ if environ is None else environ)
        secrets = [value for name, value in given.items() if is_secret_name(name)]
        secrets += [part for path in token_files for part in _words_of(path)]
        self._secrets = _longest_first(secrets)
        self._homes = _longest_first([given.get("HOME", ""), str(Path.home())])
        self._names = {
            **dict.fromkeys(_longest_first(_users(given)), "<user>"),
            **dict.fromkeys(_longest_first(_hosts(given)), "<host>"),
        }

    def text(self, text: str, *, names: bool = True) -> str:
        """The text without secrets, and without names of people, hosts and homes."""
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
        for shape in _SHAPES:
            text = shape.sub(REMOVED, text)
        text = _USERINFO.sub(f"{REMOVED}@", text)
        text = _QUERY.sub(rf"\g<1>{REMOVED}", text)
        return self._without_names(text) if names else text

    def _without_names(self, text: str) -> str:
        for home in self._homes:
            if home != "/":
                text = text.replace(home, "~")
        text = _OTHERS_HOMES.sub(r"\g<1><user>", text)
        for name, shown in self._names.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", shown, text)
        return text

    def record(self, value: Any, *, names: bool = True) -> Any:
        """The same for everything that JSON can hold; values under secret names go whole."""
        if isinstance(value, str):
            return self.text(value, names=names)
        if isinstance(value, Mapping):
            return {
                self.text(str(key), names=names): self._item(str(key), item, names=names)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.record(item, names=names) for item in value]
        return value

    def _item(self, name: str, value: Any, *, names: bool) -> Any:
        if is_secret_name(name) and isinstance(value, str) and value not in _HARMLESS:
            return REMOVED
        return self.record(value, names=names)


def token_files(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """Where Hugging Face's tools keep tokens.

    Source: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    """
    given = os.environ if environ is None else environ
    base = Path(given.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    home = Path(given.get("HF_HOME") or base).expanduser()
    named = [Path(given["HF_TOKEN_PATH"]).expanduser()] if given.get("HF_TOKEN_PATH") else []
    return (*named, home / "token", home / "stored_tokens")


def _words_of(path: Path) -> list[str]:
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return []
    return [word for word in words if len(word) >= 2 * _LEAST_LENGTH]


def _users(environ: Mapping[str, str]) -> list[str]:
    names = [environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")]
    with suppress(OSError, KeyError):  # a container may run as a number without a name
        names.append(getpass.getuser())
    return [name for name in names if name != "root"]


def _hosts(environ: Mapping[str, str]) -> list[str]:
    full = [socket.gethostname(), environ.get("HOSTNAME", ""), environ.get("COMPUTERNAME", "")]
    names = [*full, *(name.partition(".")[0] for name in full)]
    return [name for name in names if name not in ("localhost", "raspberrypi")]


def _longest_first(texts: list[str]) -> list[str]:
    """Distinct, so that a part never hides the rest of a longer one."""
    distinct = {text for text in texts if len(text) >= _LEAST_LENGTH}
    return sorted(distinct, key=len, reverse=True)
