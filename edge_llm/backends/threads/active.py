"""Keeps the threads of a running context within the cores that others leave free.

Threads that meet at a barrier wait for the one that has no core: with one thread too many, a token
takes up to a hundred times as long. So fewer run while others take cores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from edge_llm.backends.base import ThreadPlan
from edge_llm.device.free_cores import FreeCores

logger = logging.getLogger(__name__)


class ActiveThreads:
    """Applies a plan, and less of it while cores are taken.

    `begin` and `end` go around every computation and cost a clock reading, and 0.1 ms every third
    of a second.
    """

    def __init__(
        self, plan: ThreadPlan, free: FreeCores, apply: Callable[[int, int], None]
    ) -> None:
        self._plan = plan
        self._free = free
        self._apply = apply
        self._watches = max(plan.decode, plan.prefill) > 1
        self._set()

    def begin(self) -> None:
        """Before a computation."""
        if self._watches:
            self._free.begin()

    def end(self) -> None:
        """After it: more or fewer threads from the next one on, if that is due."""
        if self._watches and self._free.check():
            logger.debug("%d cores are free", self._free.count)
            self._set()

    def _set(self) -> None:
        self._apply(self._free.limit(self._plan.decode), self._free.limit(self._plan.prefill))
