"""The report that a user can send: a small archive, readable without us, without secrets."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from edge_llm.errors import ConfigError

README = """\
What `edge-llm doctor` found on one machine. Keys, tokens, the name of the user and of the machine
and paths below the home folder were removed before this was written. doctor.json holds everything
that is in here: read it before you send it.
"""


def write_bundle(path: str, record: dict[str, Any]) -> None:
    """Write the archive; it appears whole or not at all, readable by its owner alone.

    Raises:
        ConfigError: it cannot be written there.
    """
    target = Path(path).expanduser()
    partial = target.with_name(f".{target.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", README)
            archive.writestr("doctor.json", json.dumps(record, indent=2, ensure_ascii=False))
        partial.chmod(0o600)
        partial.replace(target)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise ConfigError(
            f"the report cannot be written to {path!r}: {exc.strerror or exc}",
            hint="name a file in a folder of your own: --bundle report.zip",
        ) from exc
