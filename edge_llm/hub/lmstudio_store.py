"""LM Studio's store: GGUF files as they lie on the hub, `models/owner/repo/file.gguf`.

Source: LM Studio's documentation (app/advanced/import-model), read 2026-11-22; the pointer file and
the key in settings.json as LM Studio writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from edge_llm.errors import ModelFormatError, ModelNotFoundError
from edge_llm.hub.foreign import LMSTUDIO, ForeignFile, is_readable_folder
from edge_llm.hub.gguf_split import MAX_PARTS, named_part, part_paths

_POINTER = ".lmstudio-home-pointer"
_MAX_SETTINGS_BYTES = 1 << 20


def lmstudio_folders(home: Path) -> list[Path]:
    """Where LM Studio keeps models on this machine: where it was told to, and its usual places."""
    homes = [*_pointed_home(home), home / ".lmstudio", home / ".cache" / "lm-studio"]
    places = [place for base in homes for place in (*_set_folder(base), base / "models")]
    return [place for place in dict.fromkeys(places) if is_readable_folder(place)]


class LMStudioStore:
    """The models of one folder such as `~/.lmstudio/models`."""

    prefix = LMSTUDIO

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """See `ForeignStore.names`."""
        return sorted(
            LMSTUDIO + path.relative_to(self.folder).as_posix()
            for path in self.folder.glob("*/*/*.gguf")
            if path.is_file() and _is_model(path)
        )

    def files(self, name: str) -> list[ForeignFile]:
        """See `ForeignStore.files`."""
        parts = name.removeprefix(LMSTUDIO).split("/")
        if len(parts) != 3 or not all(part.strip(". ") for part in parts):
            raise ModelFormatError(f"{name!r} is not of the form {LMSTUDIO}owner/repo/file.gguf")
        path = self.folder.joinpath(*parts)
        return [_described(part, name) for part in _parts_of(path)]


def _is_model(path: Path) -> bool:
    """A model, or the first part of one; not the vision part of another."""
    number, _ = named_part(path) or (1, 1)
    return number == 1 and not path.name.lower().startswith("mmproj")


def _parts_of(path: Path) -> list[Path]:
    _, count = named_part(path) or (1, 1)
    return part_paths(path, count) if 1 < count <= MAX_PARTS else [path]


def _described(path: Path, name: str) -> ForeignFile:
    try:
        return ForeignFile(path, path.stat().st_size)
    except OSError as exc:
        raise ModelNotFoundError(
            f"{str(path)!r} of {name!r} cannot be read: {exc.strerror or exc}",
            hint="download it again in LM Studio",
        ) from exc


def _pointed_home(home: Path) -> Iterator[Path]:
    """The folder that LM Studio's pointer file names."""
    try:
        lines = (home / _POINTER).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return
    if lines[0].strip():
        yield Path(lines[0].strip())


def _set_folder(base: Path) -> Iterator[Path]:
    """The folder for downloads that LM Studio's settings name."""
    try:
        with (base / "settings.json").open("rb") as stream:
            settings = json.loads(stream.read(_MAX_SETTINGS_BYTES))
    except (OSError, ValueError, RecursionError):
        return
    folder = settings.get("downloadsFolder") if isinstance(settings, dict) else None
    if isinstance(folder, str) and folder.strip():
        yield Path(folder)
