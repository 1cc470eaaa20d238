"""A slice of the campaign whose whole is in `benchmarks/bench_escalation.py`."""

import asyncio

from tests.support.escalation_campaign import run_campaign


def test_500_random_requests_through_random_faults_keep_the_contract() -> None:
    report = asyncio.run(run_campaign(range(500)))

    assert report.broken == []
    # All ways a request can end are met, or the campaign proves little.
    assert {"answered local", "answered cloud", "degraded local", "left"} <= set(report.outcomes)
