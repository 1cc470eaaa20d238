"""Where files are kept, as the configuration or the system says."""

from __future__ import annotations

from pathlib import Path

from edge_llm.config.edge import EdgeConfig


def cache_folder(config: EdgeConfig) -> Path:
    """The folder of prefixes that the configuration means; it need not exist.

    What else is remembered across restarts lies in it under names that snapshots never have.
    """
    if config.cache_dir is not None:
        return Path(config.cache_dir).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("edge-llm", appauthor=False) / "prefixes"
