"""The one door to optimum: a checkpoint in, an ONNX decoder with its tokenizer out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from edge_llm.errors import ConfigError, ModelFormatError, ModelNotFoundError, UnsupportedModelError

TASK = "text-generation-with-past"


def check_checkpoint(checkpoint: Path) -> None:
    """Return when `checkpoint` is a folder that transformers may read.

    Raises:
        ModelNotFoundError: it is not there, or lacks its configuration, tokenizer or weights.
        ModelFormatError: its configuration is no JSON.
        UnsupportedModelError: it brings code of its own to run.
    """
    if not checkpoint.is_dir():
        raise ModelNotFoundError(
            f"there is no folder {str(checkpoint)!r}",
            hint="download the checkpoint first: nothing is fetched here",
        )
    for name in ("config.json", "tokenizer.json"):
        if not (checkpoint / name).is_file():
            raise ModelNotFoundError(f"{str(checkpoint)!r} has no {name}")
    if next(checkpoint.glob("*.safetensors"), None) is None:
        # Weights of other kinds are pickles, which run code when they are read.
        raise ModelNotFoundError(f"{str(checkpoint)!r} has no weights in .safetensors")
    try:
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelFormatError(f"config.json cannot be read: {exc}") from exc
    if not isinstance(config, dict) or "auto_map" in config:
        raise UnsupportedModelError(
            f"{str(checkpoint)!r} wants to run code of its own",
            hint="take a model that transformers itself knows",
        )


def convert(checkpoint: Path, folder: Path) -> Path:
    """Write the model to `folder` in float32; the path of its graph.

    Raises:
        UnsupportedModelError: optimum cannot export this architecture.
        ConfigError: it failed on the way.
    """
    from optimum.exporters.onnx import main_export
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            # What tracing warns of, the comparison on a text would show.
            warnings.simplefilter("ignore")
            main_export(
                str(checkpoint),
                folder,
                task=TASK,
                device="cpu",
                dtype="fp32",
                local_files_only=True,
                library_name="transformers",
                do_validation=False,
            )
    except (KeyError, NotImplementedError, ValueError) as exc:
        raise UnsupportedModelError(f"optimum cannot export the model: {exc}") from exc
    except (OSError, RuntimeError) as exc:
        raise ConfigError(f"the export failed: {exc}") from exc
    return folder / "model.onnx"
