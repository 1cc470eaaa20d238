"""A slice of the mutation campaign; `benchmarks/bench_fuzz_onnx.py` runs the whole of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.onnx_campaign import LAYOUTS, run_campaign

DEADLY = ("crash", "hang", "memory")


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_mutant_of_a_graph_ends_the_process(tmp_path: Path, name: str) -> None:
    verdicts = list(run_campaign(name, 50, seed=1, folder=tmp_path))

    assert [verdict for verdict in verdicts if verdict.outcome in DEADLY] == []
    assert {"refused", "works"} <= {verdict.outcome for verdict in verdicts}


@pytest.mark.parametrize("name", ["byte level", "sentencepiece"])
def test_no_mutant_of_a_tokenizer_ends_the_process(tmp_path: Path, name: str) -> None:
    verdicts = list(run_campaign(name, 200, seed=1, folder=tmp_path))

    assert [verdict for verdict in verdicts if verdict.outcome in DEADLY] == []
    assert {"refused", "works"} <= {verdict.outcome for verdict in verdicts}
