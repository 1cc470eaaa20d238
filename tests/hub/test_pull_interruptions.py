"""Ten interruptions at random bytes; two hundred are in `benchmarks/bench_models.py`."""

from pathlib import Path

from tests.support.gguf_files import TinySpec
from tests.support.hub_models import split_gguf
from tests.support.pull_campaign import run_campaign


def test_a_pull_survives_interruptions_at_random_bytes(tmp_path: Path) -> None:
    files = split_gguf("m-F32", 3, TinySpec(width=64, layers=4))

    outcome = run_campaign(files, count=10, per_pull=5, seed=1, folder=tmp_path)

    assert outcome.problems == []
    assert (outcome.wrong_bytes, outcome.loadable_parts) == (0, 0)
    assert (outcome.completed, outcome.interruptions.total()) == (2, 10)
    assert set(outcome.interruptions) == {"killed", "closed", "reset"}
