import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.file import MAX_BYTES, load_calibration, save_calibration
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.calibration.record import calibration_record, read_calibration
from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.guarantees.early import certify_policy
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, SelectiveError
from edge_llm.errors import (
    CalibrationError,
    CalibrationFormatError,
    CalibrationNotFoundError,
    CalibrationVersionError,
)
from tests.support.outcomes import BINDING, drawn_outcomes


@pytest.fixture(scope="module")
def certified() -> Calibration:
    rows = drawn_outcomes(1500)
    rows.features["end"][::9, 0] = np.nan
    mine, held_out = rows.split(0.5)
    calibration = fit_calibration(mine, BINDING)
    goal = SelectiveError(0.2, budget=Budget(0.9))
    found = certify_policy(calibration, mine, held_out, goal, keep_at=("16", "end"))
    assert isinstance(found, Certificate)
    return calibration.with_certificate(found).with_part("prior", {"words": ["a b", 1.5]})


def test_what_is_written_is_read_back_to_the_last_bit(
    certified: Calibration, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "calibration.json"

    save_calibration(certified, path)
    read = load_calibration(path)

    new = drawn_outcomes(50, 9)
    for target in ("wrong", "gain"):
        for name, scores in certified.scores(new, target).items():
            np.testing.assert_array_equal(read.scores(new, target)[name], scores)
    assert read.binding == certified.binding
    assert read.certificate == certified.certificate
    assert read.policy == certified.policy
    assert read.policy is not None
    assert read.parts == {"prior": {"words": ["a b", 1.5]}}
    assert read.num_labels == 750
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_small_and_can_be_read(certified: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "c.json"

    save_calibration(certified, path)

    text = path.read_text()
    assert len(text) < 60_000
    assert '"quantization": "Q4_K_M"' in text
    assert max(map(len, text.splitlines())) < 4000
    assert len(text.splitlines()) < 400


def test_without_a_certificate_and_without_the_cloud(tmp_path: Path) -> None:
    rows = drawn_outcomes(100)
    alone = fit_calibration(rows.__class__(
        feature_names=rows.feature_names,
        features=rows.features,
        local_correct=rows.local_correct,
    ), BINDING)  # fmt: skip

    read = read_calibration(calibration_record(alone))

    assert read.certificate is None
    assert read.policy is None
    assert read.checkpoints["end"].gain is None


def test_a_loss_goal_with_infinite_thresholds_comes_back() -> None:
    rows, held_out = drawn_outcomes(900).split(0.4)
    calibration = fit_calibration(rows, BINDING)
    found = certify_policy(calibration, rows, held_out, AccuracyLoss(0.1), max_lost=0.0)
    assert isinstance(found, Certificate)

    read = read_calibration(calibration_record(calibration.with_certificate(found)))

    assert read.certificate == found
    assert read.policy is not None
    assert read.policy.thresholds["first"].escalate_below == -math.inf


Change = Callable[[dict[str, Any]], Any]


def put(*path: Any, value: Any) -> Change:
    def change(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


def drop(*path: Any) -> Change:
    def change(record: dict[str, Any]) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return change


END = ("checkpoints", "end")
WRONG = (*END, "wrong")


@pytest.mark.parametrize(
    "change",
    [
        put("format", value="something else"),
        put("version", value=0),
        put("version", value="1"),
        drop("version"),
        drop("binding"),
        put("surprise", value=1),
        put("binding", "fingerprint", value=7),
        put("binding", "more", value="x"),
        put("num_labels", value=-1),
        put("num_labels", value=True),
        put("features", value=["margin", "margin", "noise"]),
        put("features", value=["margin"]),
        put("features", value=None),
        put("checkpoints", value={}),
        put("checkpoints", value=[]),
        put("parts", value=3),
        put(*END, "scale", "margin", value=-1.0),
        put(*END, "center", "margin", value="0"),
        put(*END, "center", "margin", value=10**400),
        put(*END, "gaps", value=["nothing"]),
        put(*END, "gaps", value=["margin", "margin"]),
        put(*WRONG, "bias", value=math.nan),
        put(*WRONG, "weights", "margin", value=True),
        drop(*WRONG, "weights", "margin"),
        put(*WRONG, "quantiles", value=[]),
        put(*WRONG, "quantiles", value=[0.5, 0.4]),
        put(*WRONG, "quantiles", value=[0.5, 1.5]),
        put(*WRONG, "quantiles", value="0.5"),
        put(*WRONG, "mapping", "kind", value="magic"),
        put(*WRONG, "mapping", "slope", value=-1.0),
        put(*WRONG, "mapping", "knots", value=[0.0]),
        put(*WRONG, "mapping", "values", 0, value=-0.5),
        put(*END, "wrong", value=None),
        put("certificate", "goal", "kind", value="hope"),
        put("certificate", "goal", "alpha", value=7),
        put("certificate", "goal", "kind", value="accuracy_loss"),
        put("certificate", "goal", "budget", "escalation_rate", value=-1),
        put("certificate", "policy", "target", value="gain"),
        put("certificate", "policy", "target", value="luck"),
        put("certificate", "policy", "thresholds", value={}),
        put("certificate", "policy", "thresholds", "end", "keep_from", value=2.0),
        put("certificate", "policy", "thresholds", "end", "keep_from", value="high"),
        drop("certificate", "policy", "thresholds", "end", "keep_from"),
        put("certificate", "kept_share", value=1.5),
        put("certificate", "num_labels", value=1.5),
        put("certificate", "cost_usd_per_request", value=-1.0),
        put("certificate", "more", value=1),
    ],
)
def test_what_is_missing_unknown_or_impossible_is_refused(
    certified: Calibration, change: Change
) -> None:
    record = json.loads(json.dumps(calibration_record(certified)))
    change(record)

    with pytest.raises(CalibrationFormatError) as refused:
        read_calibration(record)

    assert not isinstance(refused.value, CalibrationVersionError)


@pytest.mark.parametrize("record", [None, [], 3, "text", {}, {"format": "edge-llm calibration"}])
def test_json_of_something_else_is_refused(record: object) -> None:
    with pytest.raises(CalibrationFormatError):
        read_calibration(record)


def test_a_newer_version_asks_for_an_update(certified: Calibration) -> None:
    record = calibration_record(certified) | {"version": 2, "anything": "else"}

    with pytest.raises(CalibrationVersionError, match="update edge-llm"):
        read_calibration(record)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"NaN",
        b'{"format": Infinity}',
        b"[" * 200_000,
        b" " * (MAX_BYTES + 1),
        b"9" * 10_000,
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data)

    with pytest.raises(CalibrationFormatError):
        load_calibration(path)


def test_a_file_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(CalibrationNotFoundError, match="edge-llm calibrate"):
        load_calibration(tmp_path / "nothing.json")


def test_a_folder_that_cannot_be_written_leaves_nothing(
    certified: Calibration, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "c.json").mkdir()

    with pytest.raises(CalibrationError, match="cannot write"):
        save_calibration(certified, tmp_path / "file" / "c.json")
    with pytest.raises(CalibrationError, match="no ordinary file"):
        save_calibration(certified, tmp_path / "c.json")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "file"]


@pytest.mark.parametrize("part", [object(), math.nan])
def test_a_part_that_is_no_json_is_refused_before_the_old_file_is_touched(
    certified: Calibration, tmp_path: Path, part: object
) -> None:
    path = tmp_path / "c.json"
    save_calibration(certified, path)
    before = path.read_bytes()

    with pytest.raises(CalibrationError, match="no JSON"):
        save_calibration(certified.with_part("bad", part), path)

    assert path.read_bytes() == before
