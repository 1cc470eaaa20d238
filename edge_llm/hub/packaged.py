"""The data that ships with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def models_folder() -> Path:
    """The `models/` data: inside the package when installed, beside it in a checkout."""
    package = Path(str(files("edge_llm")))
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"
