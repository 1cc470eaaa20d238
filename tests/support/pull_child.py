"""A process that pulls one model, and may be killed: `python -m tests.support.pull_child REF`."""

from __future__ import annotations

import sys

from edge_llm.hub import client_errors
from edge_llm.hub.client import HubClient, RemoteFile, remove_library_noise
from edge_llm.hub.pull import pull
from edge_llm.hub.pull_plan import guess_memory, plan_pull
from edge_llm.hub.reference import parse_reference


class Silent:
    """Listens to nothing."""

    def on_bytes(self, file: RemoteFile, num_bytes: int) -> None:
        """Do nothing."""


def main() -> None:
    """Pull it."""
    client_errors.FIRST_PAUSE_S = 0.01
    remove_library_noise()
    client, reference = HubClient(is_offline=True), parse_reference(sys.argv[1])
    plan = plan_pull(client, reference, (reference.name,), guess_memory)
    pull(client, plan, Silent())


if __name__ == "__main__":
    main()
