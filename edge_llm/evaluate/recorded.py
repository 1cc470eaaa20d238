"""Outcomes in a file: written by a run, or brought along from elsewhere; no model is needed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_llm.confidence.checkpoints import CHECKPOINTS, END, Checkpoint
from edge_llm.errors import ConfigError
from edge_llm.evaluate.data.columns import to_grade, to_number, to_text, to_weight
from edge_llm.evaluate.data.examples import KNOWN, Cells, parse_example, read_checked_rows
from edge_llm.evaluate.data.lines import Row, fail
from edge_llm.evaluate.graders import GRADERS
from edge_llm.evaluate.graders.base import Reply
from edge_llm.evaluate.recording import Look, Recording, Said

SIDES = ("local", "cloud", "refined")
OF_A_SIDE = ("correct", "text", "tokens", "cost_usd", "latency_s", "ttft_s")
OUTCOME_COLUMNS = (
    *(f"{side}_{what}" for side in SIDES for what in OF_A_SIDE),
    "score",
    "features",
    "looks",
)
KNOWN_RECORDED = (*KNOWN, *OUTCOME_COLUMNS)
SCORE = "score"
"""The feature that a single score becomes; its direction is found when it is fitted."""
FEATURE = "feature."


class RecordedSet:
    """Recordings of a file, and the columns of it that mean nothing here."""

    def __init__(self, recordings: list[Recording], ignored: tuple[str, ...]) -> None:
        self.recordings = recordings
        self.ignored = ignored


def read_recorded(
    path: Path, mapping: Mapping[str, str] | None = None, *, limit: int | None = None
) -> RecordedSet:
    """All recordings of a file, or the first `limit`.

    Raises:
        DataSetError: the file cannot be read, a row is wrong, two have one id, or there is none.
    """
    ignored: dict[str, None] = {}
    rows = read_checked_rows(path, mapping or {}, KNOWN_RECORDED, ignored)
    found = [parse_recording(path, line, row) for line, row in itertools.islice(rows, limit)]
    if not found:
        fail(path, 1, "there is no outcome in it", hint=_HINT)
    return RecordedSet(found, tuple(ignored))


_HINT = 'such as {"score": 0.7, "local_correct": true, "cloud_correct": true}'


def parse_recording(path: Path, line: int, row: Row) -> Recording:
    """One recording from its row.

    Raises:
        DataSetError: a column is not what it should be, or nothing says whether it was right.
    """
    cell = Cells(path, line, row)
    looks = _looks(cell)
    local = _side(cell, "local", looks)
    return Recording(
        id=row["id"],
        local=local,
        local_correct=_correct(cell, "local", local),
        cloud=_other(cell, "cloud"),
        cloud_correct=_other_correct(cell, "cloud"),
        refined=_other(cell, "refined"),
        refined_correct=_other_correct(cell, "refined"),
        prompt=_prompt(cell),
        task=cell.take("task", to_text) if "task" in row else None,
        group=cell.take("group", to_text) if "group" in row else None,
        weight=cell.take("weight", to_weight) if "weight" in row else 1.0,
    )


def write_recorded(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings so that `read_recorded` gives them back; in whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise ConfigError(f"{str(path)!r} is no ordinary file", hint="name another file")
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as stream:
            for one in recordings:
                stream.write(json.dumps(_row(one), ensure_ascii=False) + "\n")
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise ConfigError(f"{str(path)!r} cannot be written: {exc.strerror or exc}") from exc


def _row(one: Recording) -> dict[str, Any]:
    row: dict[str, Any] = {"id": one.id, "prompt": one.prompt, "task": one.task,
                           "group": one.group, "weight": one.weight}  # fmt: skip
    sides = {
        "local": (one.local, one.local_correct),
        "cloud": (one.cloud, one.cloud_correct),
        "refined": (one.refined, one.refined_correct),
    }
    for side, (said, correct) in sides.items():
        if said is None:
            continue
        row |= {
            f"{side}_correct": correct,
            f"{side}_text": said.text,
            f"{side}_tokens": said.completion_tokens,
            f"{side}_cost_usd": said.cost_usd,
            f"{side}_latency_s": said.e2e_s,
            f"{side}_ttft_s": said.ttft_s,
        }
    row["looks"] = {name: look.to_dict() for name, look in one.local.looks.items()}
    return {name: value for name, value in row.items() if value not in (None, "")}


def _has(row: Row, side: str) -> bool:
    return any(f"{side}_{what}" in row for what in OF_A_SIDE)


def _is_graded(row: Row, side: str) -> bool:
    can_grade = f"{side}_text" in row and any(name in row for name in GRADERS)
    return f"{side}_correct" in row or can_grade


def _side(cell: Cells, side: str, looks: Mapping[Checkpoint, Look]) -> Said:
    def number(what: str) -> float | None:
        name = f"{side}_{what}"
        return cell.take(name, lambda v: to_number(v, 0.0)) if name in cell.row else None

    text = cell.row.get(f"{side}_text", "")
    if not isinstance(text, str):
        cell.fail(f"column '{side}_text': a text is expected, not {text!r}")
    return Said(
        text=text,
        completion_tokens=round(number("tokens") or 0),
        cost_usd=number("cost_usd") or 0.0,
        ttft_s=number("ttft_s"),
        e2e_s=number("latency_s"),
        looks=looks,
    )


def _other(cell: Cells, side: str) -> Said | None:
    return _side(cell, side, {}) if _has(cell.row, side) else None


def _other_correct(cell: Cells, side: str) -> float | None:
    return _correct(cell, side, _side(cell, side, {})) if _is_graded(cell.row, side) else None


def _correct(cell: Cells, side: str, said: Said) -> float:
    name = f"{side}_correct"
    if name in cell.row:
        return float(cell.take(name, to_grade))
    if _is_graded(cell.row, side):
        example = parse_example(cell.path, cell.line, {"prompt": "-", **_references(cell.row)})
        if example.grader is not None:
            return example.grader.grade(Reply(said.text))
    return float(
        cell.fail(
            f"nothing says whether the {side} answer was right",
            hint=f"a column '{name}', or '{side}_text' and a reference such as 'exact'",
        )
    )


def _references(row: Row) -> Row:
    wanted = {"id", "options", "choices", *GRADERS}
    kept = type(row)()
    kept.update({name: value for name, value in row.items() if name in wanted})
    return kept


def _prompt(cell: Cells) -> str:
    if "prompt" in cell.row:
        return str(cell.take("prompt", to_text))
    if "messages" in cell.row:
        return parse_example(cell.path, cell.line, cell.row).prompt
    return ""


def _looks(cell: Cells) -> dict[Checkpoint, Look]:
    """What was known of the draft; a bare score or features are of its end."""
    if "looks" in cell.row:
        found: dict[Checkpoint, Look] = cell.take("looks", _parse_looks)
        return found
    features: dict[str, float] = {}
    if "score" in cell.row:
        features[SCORE] = cell.take("score", to_number)
    if "features" in cell.row:
        features |= cell.take("features", _parse_features)
    for name in cell.row:
        if name.startswith(FEATURE):
            features[name.removeprefix(FEATURE)] = cell.take(name, to_number)
    return {END: Look(features)} if features else {}


def _parse_features(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ValueError('an object of numbers such as {"margin": 0.4} is expected')
    return {name: to_number(number) for name, number in value.items() if number is not None}


def _parse_looks(value: Any) -> dict[Checkpoint, Look]:
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        raise ValueError('an object such as {"end": {"features": {"margin": 0.4}}} is expected')
    looks = {}
    for name in CHECKPOINTS:
        if name in value:
            one = value[name]
            looks[name] = Look(
                _parse_features(one.get("features", {})), one.get("num_tokens"), one.get("time_s")
            )
    unknown = sorted(value.keys() - set(CHECKPOINTS))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no checkpoint; there are {', '.join(CHECKPOINTS)}")
    return looks
