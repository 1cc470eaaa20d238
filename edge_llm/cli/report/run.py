"""`edge-llm report` from end to end: the machine, each model, the built-in model's benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_llm.cli.doctor.redact import Redactor, token_files
from edge_llm.cli.doctor.run import examine, to_record
from edge_llm.cli.report.progress import Progress, open_progress
from edge_llm.cli.report.watch import Watch
from edge_llm.config import BUILTIN_MODEL
from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ConfigError, EdgeLLMError

FORMAT = 1
QUICK_SENTENCES = 60
MODEL_TIMEOUT_S = 1800.0


def run(models: Sequence[str], *, output: str, quick: bool) -> None:
    """Measure, write the file, and print what matters of it.

    Raises:
        ConfigError: the file cannot be written.
    """
    _check_writable(output)
    references = list(models) or installed_references()
    with open_progress(total=2 + len(references)) as progress, Watch() as watch:
        record = collect(references, quick=quick, progress=progress)
    record["during"] = watch.summary()
    record = Redactor(token_files=token_files()).record(record)
    write(output, record)
    for line in describe(record):
        print(line)
    print(f"written: {output}; look at it before you send it")


def installed_references() -> list[str]:
    """The built-in model, and every model that was pulled or imported."""
    from edge_llm.hub.import_records import ImportedModel, list_imports
    from edge_llm.hub.installed import installed_models

    pulled = [model.reference for model in installed_models()]
    imported = [model.name for model in list_imports() if isinstance(model, ImportedModel)]
    return [BUILTIN_MODEL, *pulled, *imported]


def collect(references: Sequence[str], *, quick: bool, progress: Progress) -> dict[str, Any]:
    """All figures; a part that fails says so in its place."""
    progress.begin("machine")
    machine = to_record(examine())
    progress.finish()
    measured = []
    for reference in references:
        progress.begin(reference)
        measured.append(measure_apart(reference, quick=quick))
        progress.finish()
    progress.begin("built-in benchmark")
    benchmark = run_benchmark(quick=quick, progress=progress)
    progress.finish()
    return {
        "format": FORMAT,
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
        "quick": quick,
        "machine": machine,
        "models": measured,
        "builtin_benchmark": benchmark,
    }


def measure_apart(reference: str, *, quick: bool) -> dict[str, Any]:
    """One model's figures, from a child process; what it died of where it died."""
    command = [sys.executable, "-m", "edge_llm.cli.report.measure", reference]
    try:
        done = subprocess.run(
            [*command, "--quick"] if quick else command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MODEL_TIMEOUT_S,
        )
        record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, OSError) as exc:
        return {"model": reference, "problem": str(exc)}
    except (ValueError, LookupError):
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return {"model": reference, "problem": f"exit code {done.returncode}: {last}"}
    return record


def run_benchmark(*, quick: bool, progress: Progress) -> dict[str, Any]:
    """Accuracy and AUROC of the built-in model on the sentences that ship with it."""
    import edge_llm
    from edge_llm.evaluate.builtin import evaluate_builtin, load_cases

    started = time.perf_counter()
    try:
        cases = load_cases(QUICK_SENTENCES if quick else None)
        with edge_llm.load(BUILTIN_MODEL, cache_max_mb=0) as llm:
            score = evaluate_builtin(llm, cases, lambda done: progress.part(done, len(cases)))
    except (EdgeLLMError, OSError) as exc:
        return {"problem": str(exc)}
    return {**asdict(score), "seconds": round(time.perf_counter() - started, 1)}


def write(path: str, record: dict[str, Any]) -> None:
    """Write the file; it appears whole or not at all.

    Raises:
        ConfigError: it cannot be written there.
    """
    target = Path(path).expanduser()
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
        partial.replace(target)
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _check_writable(path: str) -> None:
    """Minutes of measuring should not end in an error that could be known before."""
    target = Path(path).expanduser()
    try:
        with target.with_name(f".{target.name}.partial").open("w"):
            pass
        target.with_name(f".{target.name}.partial").unlink()
    except OSError as exc:
        raise _unwritable(path, exc) from exc


def _unwritable(path: str, exc: OSError) -> ConfigError:
    return ConfigError(
        f"the report cannot be written to {path!r}: {exc.strerror or exc}",
        hint="name a file in a folder of your own: --output report.json",
    )


def describe(record: dict[str, Any]) -> list[str]:
    """The figures that people compare, a line for each."""
    lines = []
    for model in record["models"]:
        if "problem" in model:
            lines.append(f"{model['model']}: {model['problem']}")
            continue
        resident = model["memory"]["resident_bytes"]
        size = "" if resident is None else f", {describe_bytes(resident)} of memory"
        lines.append(f"{model['model']}: {model['format']}, {model['quantization']}{size}")
        lines += [
            f"  context {row['context']}: writes {row['decode_tok_s']} tok/s"
            f" (predicted {row['predicted_tok_s']}), reads {row['prefill_tok_s']} tok/s"
            for row in model["speed"]
        ]
    benchmark = record["builtin_benchmark"]
    if "problem" in benchmark:
        return [*lines, f"built-in benchmark: {benchmark['problem']}"]
    best = max((value for value in benchmark["auroc"].values() if value is not None), default=None)
    told = "" if best is None else f", AUROC {best:.2f}"
    share = f"{benchmark['accuracy']:.1%} of {benchmark['num_cases']} sentences right{told}"
    return [*lines, f"built-in benchmark: {share}"]
