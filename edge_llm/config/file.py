"""From a TOML file to options."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_llm.config.environment import CONFIG_VARIABLE
from edge_llm.errors import ConfigError


def find_config_file(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that was named, in an option or the environment, or the user's own if it is there.

    The user's own counts only where the environment is that of this process.

    Raises:
        ConfigError: the named file is not there.
    """
    named = given or environ.get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise ConfigError(f"there is no configuration file {named!r}")
        return path
    if environ is not os.environ:
        return None
    from edge_llm.config.folders import user_config_file

    path = user_config_file()
    return path if path.is_file() else None


def read_config_file(path: Path) -> dict[str, Any]:
    """The options of a TOML file, as they stand there.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"cannot read {str(path)!r}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{str(path)!r} is not TOML: {exc}") from exc
