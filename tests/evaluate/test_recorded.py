"""Outcomes that people bring along, under their names, and those that a run wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_llm.errors import DataSetError
from edge_llm.evaluate.data.columns import parse_mapping
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.recorded import read_recorded, write_recorded
from edge_llm.evaluate.recording import Look, Recording, Said


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "outcomes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_outcomes_of_another_project_need_only_other_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"prompt": "a", "weak_correct": True, "strong_correct": False, "weak_response": "x"},
        {"prompt": "b", "weak_correct": False, "strong_correct": True, "weak_response": "y"},
    )
    mapping = parse_mapping(
        ["local_correct=weak_correct", "cloud_correct=strong_correct", "local_text=weak_response"]
    )

    found = read_recorded(path, mapping).recordings

    assert [(one.local_correct, one.cloud_correct) for one in found] == [(1.0, 0.0), (0.0, 1.0)]
    assert [one.local.text for one in found] == ["x", "y"]


def test_a_table_with_a_score_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.csv"
    path.write_text("score,local_correct,feature.margin\n0.9,yes,0.5\n0.1,no,\n")

    outcomes = to_outcomes(read_recorded(path).recordings)

    assert outcomes.feature_names == ("margin", "score")
    np.testing.assert_array_equal(outcomes.features["end"], [[0.5, 0.9], [np.nan, 0.1]])
    assert not outcomes.has_cloud


def test_an_answer_with_a_reference_is_graded(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"numeric": 4, "local_text": "It is 4", "cloud_text": "5", "score": 1},
        {"numeric": 4, "local_text": "", "cloud_text": "4", "score": 0},
    )

    found = read_recorded(path).recordings

    assert [(one.local_correct, one.cloud_correct) for one in found] == [(1.0, 0.0), (0.0, 1.0)]


def test_what_a_run_wrote_is_read_back_whole(tmp_path: Path) -> None:
    looks = {"first": Look({"margin": 0.5}, 1, 0.1), "end": Look({"margin": 0.25}, 7, 0.4)}
    one = Recording(
        id="a",
        local=Said("local", completion_tokens=7, e2e_s=0.5, ttft_s=0.1, looks=looks),
        local_correct=0.0,
        cloud=Said("cloud", completion_tokens=3, cost_usd=0.01, e2e_s=1.5, ttft_s=1.0),
        cloud_correct=1.0,
        refined=Said("refined", completion_tokens=4, e2e_s=2.0),
        refined_correct=0.5,
        prompt="p",
        task="t",
        group="g",
        weight=2.0,
    )

    write_recorded(tmp_path / "out.jsonl", [one])

    assert read_recorded(tmp_path / "out.jsonl").recordings == [one]


def test_drafts_that_ended_before_a_checkpoint_never_reached_it(tmp_path: Path) -> None:
    rows = [
        {"looks": {"8": {"features": {"m": 1}, "num_tokens": 8}, "end": {}}, "local_correct": 1},
        {"looks": {"end": {"features": {"m": 2}}}, "local_correct": 0, "local_tokens": 3},
    ]

    outcomes = to_outcomes(read_recorded(write(tmp_path, *rows)).recordings)

    assert outcomes.checkpoints == ("8", "end")
    assert outcomes.reached("8").tolist() == [True, False]
    assert outcomes.spent_tokens["8"][0] == 8


def test_rows_of_one_prompt_or_group_stay_together(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "score": 1, "local_correct": 1},
        {"prompt": "a", "score": 0, "local_correct": 0},
        {"prompt": "b", "group": "g", "score": 1, "local_correct": 1},
        {"prompt": "c", "group": "g", "score": 0, "local_correct": 0},
    ]

    groups = to_outcomes(read_recorded(write(tmp_path, *rows)).recordings).groups

    assert groups is not None
    assert groups.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"score": 1}, "nothing says whether the local answer was right"),
        ({"score": 1, "local_text": "a"}, "nothing says whether the local answer was right"),
        ({"score": "high", "local_correct": 1}, "column 'score': a number"),
        ({"local_correct": 2}, "column 'local_correct': true, false or a number from 0 to 1"),
        ({"local_correct": 1, "cloud_cost_usd": -1}, "column 'cloud_cost_usd': a number, 0"),
        ({"local_correct": 1, "features": [1]}, "column 'features': an object of numbers"),
        ({"local_correct": 1, "feature.x": "inf"}, "column 'feature.x': a number"),
        ({"local_correct": 1, "looks": {"middle": {}}}, "'middle' is no checkpoint"),
        ({"local_correct": 1, "local_text": 5}, "column 'local_text': a text"),
        ({"local_corect": 1}, "'local_correct' is perhaps meant"),
        ({"local_correct": 1, "weight": 0}, "column 'weight': a number above 0"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataSetError, match=said) as caught:
        read_recorded(write(tmp_path, {"score": 1, "local_correct": 1}, row))

    assert "line 2" in str(caught.value)
