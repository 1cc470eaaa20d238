"""What is remembered of models that other programs keep: a small JSON file for each name."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_llm.config import data_folder
from edge_llm.errors import ModelError, ModelFormatError, ModelStoreError

FORMAT = 1
_MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """One file of an imported model."""

    path: Path
    num_bytes: int
    sha256: str
    modified_ns: int
    """Time of its last change when it was hashed."""


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model in somebody else's store."""

    name: str
    """As it is named everywhere: `ollama:qwen3:0.6b`."""
    files: tuple[ImportedFile, ...]
    """All parts; the first is the one to load."""

    @property
    def path(self) -> Path:
        """The file to load."""
        return self.files[0].path

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(file.num_bytes for file in self.files)


def imports_folder() -> Path:
    """Where imported models are written down; it need not exist."""
    return data_folder() / "imports"


def list_imports() -> Iterator[ImportedModel | ModelError]:
    """Every model that is written down, by name; an error where that cannot be read."""
    names = sorted(imports_folder().glob("*.json"))
    read = []
    for path in names:
        try:
            read.append(read_record(path))
        except ModelError as error:
            yield error
    yield from sorted(read, key=lambda model: model.name)


def record_path(name: str) -> Path:
    """The file of one name: names hold characters that file names cannot, and may be long."""
    return imports_folder() / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def write_record(model: ImportedModel) -> None:
    """Write down where a model is, in place of what was known of that name.

    Raises:
        ModelStoreError: the folder cannot be written.
    """
    path = record_path(model.name)
    files = [{**asdict(file), "path": str(file.path)} for file in model.files]
    text = json.dumps({"format": FORMAT, "name": model.name, "files": files}, indent=1)
    temporary: Path | None = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".new", delete=False
        ) as stream:
            temporary = Path(stream.name)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as exc:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise cannot_write(exc) from exc


def cannot_write(exc: OSError) -> ModelStoreError:
    """The error that says so."""
    return ModelStoreError(
        f"cannot write in {str(imports_folder())!r}: {exc.strerror or exc}",
        hint="set EDGE_LLM_DATA_DIR to a folder that can be written",
    )


def read_record(path: Path) -> ImportedModel:
    """What is written down in one file.

    Raises:
        ModelFormatError: it is damaged.
    """
    try:
        with path.open("rb") as stream:
            record = json.loads(stream.read(_MAX_RECORD_BYTES))
        if record["format"] != FORMAT or not isinstance(record["name"], str):
            raise ValueError(f"format {record['format']!r}")
        files = tuple(_file(file) for file in record["files"])
        if not files:
            raise ValueError("no files")
        return ImportedModel(record["name"], files)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ModelFormatError(
            f"{str(path)!r} is damaged: {exc}", hint="remove it, and import the model again"
        ) from exc


def _file(record: dict[str, Any]) -> ImportedFile:
    file = ImportedFile(
        Path(record["path"]), record["num_bytes"], record["sha256"], record["modified_ns"]
    )
    if not file.path.is_absolute() or not isinstance(file.sha256, str):
        raise ValueError("a file without a path or a hash")
    if not isinstance(file.num_bytes, int) or not isinstance(file.modified_ns, int):
        raise ValueError("a file without a size or a time")
    return file
