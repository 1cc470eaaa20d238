"""How the kernel chooses the processor's clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_llm.device.text import read_integer, read_text

CHOOSES_ITSELF = ("intel_pstate", "amd-pstate-epp", "amd-pstate")
"""Drivers whose `powersave` still follows the load.

Source: https://docs.kernel.org/admin-guide/pm/intel_pstate.html and amd-pstate.html
"""


@dataclass(frozen=True, slots=True)
class ClockPolicy:
    """Cores whose clock is chosen together."""

    governor: str
    driver: str
    current_khz: int | None
    max_khz: int | None
    """What the governor may choose at most, which can be less than the processor allows."""
    limit_khz: int | None
    """What the processor allows."""

    @property
    def is_slow(self) -> bool:
        """The clock stays at the lowest whatever the load."""
        return self.governor == "powersave" and self.driver not in CHOOSES_ITSELF


def read_clock_policies(root: Path = Path("/")) -> tuple[ClockPolicy, ...]:
    """Every policy; none in most virtual machines, and where the system is not Linux.

    Source: https://docs.kernel.org/admin-guide/pm/cpufreq.html
    """
    folder = root / "sys" / "devices" / "system" / "cpu" / "cpufreq"
    return tuple(
        ClockPolicy(
            governor=read_text(policy / "scaling_governor") or "",
            driver=read_text(policy / "scaling_driver") or "",
            current_khz=read_integer(policy / "scaling_cur_freq"),
            max_khz=read_integer(policy / "scaling_max_freq"),
            limit_khz=read_integer(policy / "cpuinfo_max_freq"),
        )
        for policy in sorted(folder.glob("policy*"))
    )
