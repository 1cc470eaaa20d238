"""Where files are kept, as the configuration or the system says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edge_llm.config.edge import EdgeConfig
from edge_llm.config.environment import DATA_VARIABLE


def cache_folder(config: EdgeConfig) -> Path:
    """The folder of prefixes that the configuration means; it need not exist.

    What else is remembered across restarts lies in it under names that snapshots never have.
    """
    if config.cache_dir is not None:
        return Path(config.cache_dir).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("edge-llm", appauthor=False) / "prefixes"


def state_folder(config: EdgeConfig) -> Path:
    """The folder of what must outlive a restart, such as budgets; it need not exist."""
    if config.state_dir is not None:
        return Path(config.state_dir).expanduser()
    from platformdirs import user_state_path

    return user_state_path("edge-llm", appauthor=False)


def data_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder for what cannot be computed again, such as the names of imported models.

    `EDGE_LLM_DATA_DIR`, or the user's own; it need not exist.
    """
    environ = os.environ if environ is None else environ
    if named := environ.get(DATA_VARIABLE):
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("edge-llm", appauthor=False)


def user_config_file() -> Path:
    """Where the user's own configuration would be; it need not exist."""
    from platformdirs import user_config_path

    return user_config_path("edge-llm", appauthor=False) / "config.toml"
