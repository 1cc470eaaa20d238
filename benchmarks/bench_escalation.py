"""What does it cost to have more than one tier, and does the contract hold when everything fails?

A routing decision is arithmetic over facts, so it is measured in processor time. An escalated
request pays what the cloud takes and our own way there: its time to first token is set against
asking the same endpoint through the same client directly, the local time to the checkpoint apart.
The campaign puts random requests through random faults over real sockets (`tests/support`). What
survives `kill -9`, and what redaction finds, are parts of their own.

    scripts/bench escalation [--quick] [--requests N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import escalation_kill, escalation_privacy
from benchmarks.report import Figure, figure, report
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.types import CloudRequest, Endpoint
from edge_llm.config import EdgeConfig, load_config
from edge_llm.routing.base import HealthFacts, RoutingFacts, TierFacts
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.build import create_chain
from tests.support.escalation_campaign import Report, run_campaign
from tests.support.hybrid import DoubtfulBackend, hybrid_async

REQUESTS, QUICK_REQUESTS = 20_000, 1_000
BATCH = 500
"""Requests that share one runtime and one server."""

CLOUD_TTFT_S = 0.15
"""How long the scripted cloud takes to its first word: a quick one."""

LATE_S = 0.1

ANSWER = f"wait {CLOUD_TTFT_S}\nsay From\nsay  here.\nfinish stop\nusage 9 3\ndone"
RULES = {"rules": ({"tag": "up", "tier": "cloud"},)}


def main() -> None:
    """Measure, run the campaign and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a few minutes")
    parser.add_argument("--requests", type=int, help="of the campaign")
    parser.add_argument("--seed", type=int, default=100_000, help="of the campaign's first request")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    count = options.requests or (QUICK_REQUESTS if options.quick else REQUESTS)
    figures = {
        "routing_cpu": figure(
            [routing_cpu_ms() for _ in range(5)], "ms", goal=0.2, direction="at_most"
        ),
        **asyncio.run(time_to_first_token(10 if options.quick else 40)),
        "import": figure(import_ms("edge_llm"), "ms", goal=60, direction="at_most"),
        "import_and_cloud_client": figure(import_ms("edge_llm, openai"), "ms"),
        **campaign_figures(campaign(count, options.seed)),
        **escalation_kill.measure(
            escalation_kill.QUICK_KILLS if options.quick else escalation_kill.KILLS
        ),
        **escalation_privacy.measure(
            escalation_privacy.QUICK_TEXTS if options.quick else escalation_privacy.TEXTS
        ),
    }
    report("escalation", figures, ["openai", "edge-llm"])


def routing_cpu_ms(decisions: int = 5_000) -> float:
    """Processor time of one decision by all policies but the model router, two tiers refused."""
    chain = create_chain(_routing_config())
    request = RoutingFacts(
        max_tokens=100, needs=frozenset({"tools"}), label="redact", text="prove it " * 20,
        budget_left_usd=1.0, budget_left_bytes=10**6, health=HealthFacts(10**9, 0.1, 50.0, False),
        time_left_s=5.0,
    )  # fmt: skip
    tiers = [
        TierFacts("a", prompt_tokens=500, context_length=512, expected_s=1.0),
        TierFacts("b", prompt_tokens=500, context_length=512, expected_s=1.0),
        TierFacts(
            "c", trust="cloud", is_local=False, prompt_tokens=500, context_length=10**5,
            capabilities=frozenset({"tools"}), needs_network=True, estimated_usd=0.01,
        ),
    ]  # fmt: skip
    started_s = time.process_time()
    for _ in range(decisions):
        chain.route(request, tiers)
    return (time.process_time() - started_s) / decisions * 1e3


def _routing_config() -> EdgeConfig:
    tiers = [{"name": name, "model": "builtin"} for name in "abc"]
    rules = ({"pattern": "prove", "tier": "c"},)
    return load_config({"tiers": tiers, "escalation": {"rules": rules}}, {})


async def time_to_first_token(repeats: int) -> dict[str, Figure]:
    """Escalated before generating and at the first checkpoint, against asking directly."""
    direct: list[float] = []
    before: list[float] = []
    checkpoint: list[float] = []
    local: list[float] = []
    backend = DoubtfulBackend("An answer that nobody will see.", unsure=0.9)
    async with hybrid_async(backend, ANSWER, escalation=RULES) as (llm, server):
        client = CloudClient(Endpoint("direct", server.url, "m"))
        for turn in range(repeats + 2):
            times = (
                await _direct_s(client),
                await _first_text_s(llm, tags=["up"]),
                await _first_text_s(llm),
                await _first_text_s(llm, privacy="local_only"),
            )
            if turn >= 2:  # connections are open, libraries loaded
                for place, seconds in zip((direct, before, checkpoint, local), times, strict=True):
                    place.append(seconds)
        await client.close()
    base_s = statistics.median(direct)
    own_s = statistics.median(local)
    return {
        "direct_ttft": figure([s * 1e3 for s in direct], "ms"),
        "escalated_before": figure(
            [s / base_s for s in before], "x direct", goal=1.03, direction="at_most"
        ),
        "escalated_at_checkpoint": figure(
            [(s - own_s) / base_s for s in checkpoint], "x direct", goal=1.03, direction="at_most"
        ),
        "local_to_checkpoint": figure([s * 1e3 for s in local], "ms"),
    }


async def _direct_s(client: CloudClient) -> float:
    started_s = time.perf_counter()
    request = CloudRequest(({"role": "user", "content": "why?"},), "allow")
    async with contextlib.aclosing(client.stream(request)) as events:
        async for _ in events:
            return time.perf_counter() - started_s
    raise RuntimeError("no answer")


async def _first_text_s(llm: AsyncEdgeLLM, **options: Any) -> float:
    started_s = time.perf_counter()
    first_s = None
    async with contextlib.aclosing(llm.stream("why?", hold="none", **options)) as chunks:
        async for chunk in chunks:
            if chunk.text and first_s is None:
                first_s = time.perf_counter() - started_s
    assert first_s is not None
    return first_s


def import_ms(modules: str, repeats: int = 5) -> list[float]:
    """Wall time of an import in a fresh interpreter."""
    code = f"import time; t = time.perf_counter(); import {modules}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    times = []
    for _ in range(repeats):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times.append(float(done.stdout) * 1e3)
    return times


def campaign(count: int, seed: int) -> Report:
    """All requests, in batches with a runtime of their own."""
    total = Report()
    for first in range(seed, seed + count, BATCH):
        part = asyncio.run(run_campaign(range(first, min(first + BATCH, seed + count))))
        total.requests += part.requests
        total.broken += part.broken
        total.outcomes += part.outcomes
        total.late_s += part.late_s
        print(f"{total.requests:6} requests, {len(total.broken)} breaks", flush=True)
        for text in part.broken:
            print(f"  {text}")
    for name, times in total.outcomes.most_common():
        print(f"  {name:24} {times}")
    return total


def campaign_figures(total: Report) -> dict[str, Figure]:
    """What it came to."""
    late = [seconds for seconds in total.late_s if seconds > LATE_S]
    return {
        "campaign": figure([total.requests], "requests"),
        "contract_breaks": figure([len(total.broken)], "", goal=0, direction="at_most"),
        "late": figure([len(late) / max(1, len(total.late_s))], "of those with a deadline", goal=0,
                       direction="at_most"),
        "latest": figure([max(total.late_s, default=0.0) * 1e3], "ms after the deadline"),
    }  # fmt: skip


if __name__ == "__main__":
    main()
