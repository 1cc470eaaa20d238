"""What `kill -9` of the engine's process does to those who asked it, and what the process costs.

Several clients ask the built-in model, which lives in a worker process, without a pause; the worker
is killed again and again at random moments, also while it loads. Every request must end exactly
once: answered, or with an error of a type that says what happened. Then the memory: of the process
that only supervises, and of the worker over what the model itself takes. Last, what the pipe costs:
the same requests to the engine in this process and in its own, in turn.

    scripts/bench containment [--quick] [--kills N] [--seed N]

The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

from benchmarks.report import Figure, figure, report
from edge_llm.config import EdgeConfig
from edge_llm.engine.host import HostSettings, ModelHost
from edge_llm.engine.inprocess import open_in_process
from edge_llm.engine.remote import RemoteHost, open_remote
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.gguf_memory import ContextShape, estimate_memory
from edge_llm.hub.resolve import resolve_model
from edge_llm.types import SamplingParams

KILLS = 200
QUICK_KILLS = 10
KILLS_WHILE_LOADING = 0.1
"""Share of kills that do not wait for the model to be there again."""
NUM_CLIENTS = 4
PATIENCE_S = 120.0
"""A request that has not ended after this counts as hanging; restarts back off up to 30 s."""
NUM_TOKENS = 60
REPEATS = 7


def main() -> None:
    """Run the campaign, then measure the costs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under 45 seconds")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kills = options.kills or (QUICK_KILLS if options.quick else KILLS)
    figures = {**campaign(kills, options.seed), **memory(), **pipe_cost()}
    report("containment", figures, ("llama-cpp-python",))


def settings() -> HostSettings:
    """The built-in model, without a cache on disk that would warm up over the runs."""
    return HostSettings(resolve_model("builtin"), EdgeConfig(cache_max_mb=0))


class Client:
    """Asks one request after the other and counts how each ends."""

    def __init__(self, host: RemoteHost, seed: int, stop: threading.Event) -> None:
        self.ends: Counter[str] = Counter()
        self._host = host
        self._rng = random.Random(seed)
        self._stop = stop
        self._thread = threading.Thread(target=self._main)
        self._thread.start()

    def join(self) -> None:
        """Wait until the last request has ended."""
        self._thread.join()

    def _main(self) -> None:
        while not self._stop.is_set():
            self.ends[self._ask()] += 1

    def _ask(self) -> str:
        ended = threading.Event()
        lasts: list[SequenceEvent] = []

        def listen(event: SequenceEvent) -> None:
            if event.is_last:
                lasts.append(event)
                ended.set()

        prompt = f"turn on the lamp number {self._rng.randrange(10**9)}"
        messages = [{"role": "user", "content": prompt}]
        try:
            tokens = self._host.encode(messages, None).token_ids
        except Exception as error:  # noqa: BLE001 — each kind is counted under its name
            return type(error).__name__
        self._host.submit(EngineRequest(tokens, SamplingParams(max_tokens=40)), listen)
        if not ended.wait(PATIENCE_S):
            return "hung"
        time.sleep(0.001)
        if len(lasts) > 1:
            return "ended twice"
        end = lasts[0].error
        return "answered" if end is None else type(end).__name__


def campaign(kills: int, seed: int) -> dict[str, Figure]:
    """Kill the worker at random moments under load, and count how requests end."""
    rng = random.Random(seed)
    stop = threading.Event()
    host = open_remote(settings())
    clients = [Client(host, seed + number, stop) for number in range(NUM_CLIENTS)]
    killed = 0
    while killed < kills:
        if rng.random() >= KILLS_WHILE_LOADING:
            wait_until_ready(host)
        time.sleep(rng.uniform(0.0, 1.0))
        pid = host.supervisor.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed += 1
            show_progress(killed, kills)
    time.sleep(1.0)
    stop.set()
    for client in clients:
        client.join()
    host.close()
    ends = sum((client.ends for client in clients), Counter[str]())
    expected = ("answered", "EngineCrashedError", "RefusedRequestError")
    return {
        "kills": figure([killed], ""),
        "requests": figure([ends.total()], ""),
        **{name: figure([ends[name]], "") for name in expected},
        **{
            name.replace(" ", "_"): figure([ends[name]], "", goal=0, direction="at_most")
            for name in ("hung", "ended twice")
        },
        "ended_otherwise": figure(
            [ends.total() - sum(ends[n] for n in (*expected, "hung", "ended twice"))],
            "",
            goal=0,
            direction="at_most",
        ),
    }


def wait_until_ready(host: RemoteHost) -> None:
    """Sleep until requests are being served."""
    while not host.supervisor.is_ready:
        time.sleep(0.01)


def show_progress(done: int, total: int) -> None:
    """One line that counts, where a person looks on."""
    if sys.stderr.isatty():
        print(f"\rkilled {done} of {total}", end="\n" if done == total else "", file=sys.stderr)


HOST_ALONE = """
import os, sys, time, edge_llm, psutil
llm = edge_llm.load(worker=True, cache_max_mb=0)
for _ in range(20):
    llm.chat("turn on the kitchen lights", max_tokens=40)
host = llm._async._model._host
print(psutil.Process().memory_info().rss, psutil.Process(host.supervisor.pid).memory_info().rss)
"""


def memory() -> dict[str, Figure]:
    """Resident memory of a fresh host and its worker after twenty answers."""
    done = subprocess.run(
        [sys.executable, "-c", HOST_ALONE], capture_output=True, text=True, check=True
    )
    host, worker = (int(number) for number in done.stdout.split())
    file = read_gguf(settings().reference.path)
    estimate = estimate_memory(file, ContextShape(context_size=1024, num_seq_ids=20))
    needed = estimate.weights + estimate.kv_cache + estimate.compute
    return {
        "host_rss": figure([host / 1e6], "MB", goal=60, direction="at_most"),
        "worker_rss_over_model": figure(
            [(worker - needed) / 1e6], "MB", goal=90, direction="at_most"
        ),
    }


def pipe_cost() -> dict[str, Figure]:
    """Tokens a second through the pipe and without it."""
    here, there = open_in_process(settings()), open_remote(settings())
    here_s, there_s = [], []
    for _ in range(REPEATS):
        here_s.append(time_answer(here))
        there_s.append(time_answer(there))
    here.close()
    there.close()
    ratios = [one / other for one, other in zip(here_s, there_s, strict=True)]
    return {
        "in_process": figure([NUM_TOKENS / s for s in here_s], "tok/s"),
        "in_worker": figure([NUM_TOKENS / s for s in there_s], "tok/s"),
        "in_worker_to_in_process": figure(ratios, "ratio"),
    }


def time_answer(host: ModelHost) -> float:
    """Seconds from submitting to the last of `NUM_TOKENS`, greedy, with statistics."""
    prompt = host.encode([{"role": "user", "content": "good morning"}], None)
    params = SamplingParams(
        temperature=0.0,
        max_tokens=NUM_TOKENS,
        logit_bias=dict.fromkeys(host.facts.eog_ids, -100.0),
    )
    request = replace(EngineRequest(prompt.token_ids, params), statistics=20)
    ended = threading.Event()
    started_s = time.perf_counter()
    host.submit(request, lambda event: ended.set() if event.is_last else None)
    assert ended.wait(PATIENCE_S)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
