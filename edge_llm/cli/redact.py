"""`edge-llm redact`: what would leave of a text, so that one can check rules. Sends nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_llm.cli.output import printable
from edge_llm.cli.table import print_json, print_table
from edge_llm.config import PrivacyConfig, load_config
from edge_llm.errors import InvalidParameterError
from edge_llm.privacy import Redactions, Redactor, create_redactor


def run(source: str, options: Mapping[str, Any], *, as_json: bool, show_values: bool) -> None:
    """Print the text with placeholders, and how many of each kind; JSON messages as JSON.

    The counts go to standard error, so that the text can be piped on. With `show_values` what each
    placeholder stands for is printed too, which is why it never is by itself.

    Raises:
        InvalidParameterError: the file cannot be read.
        PrivacyRuleError: a rule cannot be used.
        RedactionError: a part cannot be redacted: such a request would not leave at all.
    """
    text = _read(source)
    config = load_config({"config_file": options.get("config")})
    redactor = create_redactor(_with_rules(config.privacy, options), strict=True)
    redactions = Redactions()
    redacted, counts = _redact(redactor, text, redactions)
    values = _values(redactions) if show_values else {}
    if as_json:
        print_json({"text": redacted, "counts": counts, **({"values": values} if values else {})})
        return
    sys.stdout.write(printable(redacted) if sys.stdout.isatty() else redacted)
    if redacted and not redacted.endswith("\n"):
        sys.stdout.write("\n")
    sys.stdout.flush()
    found = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    print(f"replaced: {found or 'nothing'}", file=sys.stderr)
    if values:
        print_table(("placeholder", "stands for"), [(p, printable(t)) for p, t in values.items()])


def _read(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode()
    except OSError as exc:
        raise InvalidParameterError(f"cannot read {source!r}: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise InvalidParameterError(f"{source!r} is not text in UTF-8") from None


def _with_rules(config: PrivacyConfig, options: Mapping[str, Any]) -> PrivacyConfig:
    """The configured rules, and those of the command line after them."""
    return replace(
        config,
        terms=(*config.terms, *options.get("terms", ())),
        patterns=(*config.patterns, *options.get("patterns", ())),
        regions=(*config.regions, *options.get("regions", ())),
    )


def _redact(redactor: Redactor, text: str, redactions: Redactions) -> tuple[str, Mapping[str, int]]:
    messages = _messages(text)
    if messages is None:
        return redactor.redact_text(text, redactions)
    found = redactor.redact(messages, redactions)
    return json.dumps(found.messages, ensure_ascii=False, indent=2), found.counts


def _messages(text: str) -> Sequence[Mapping[str, Any]] | None:
    """The messages that a text holds as JSON; None when it is any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_messages = isinstance(value, list) and all(
        isinstance(one, dict) and "role" in one for one in value
    )
    return value if is_messages and value else None


def _values(redactions: Redactions) -> dict[str, str]:
    return {redactions.placeholder_for(text, kind): text for text, kind in redactions.known()}
