"""The doctor on the machine itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edge_llm.cli.doctor.finding import Finding, Section
from edge_llm.cli.doctor.power import power_findings
from edge_llm.device.machine import Machine
from edge_llm.device.memory import describe_bytes
from edge_llm.device.speed import MachineSpeed

LEAST_DISK_BYTES = 2 << 30
LEAST_MEMORY_BYTES = 512 << 20
HIGH_PRESSURE = 10.0
"""Per cent of the time in which everything waited for memory: it swaps, or reads weights again."""
BUSY_CORES = 0.35


def examine_machine(machine: Machine, speed: MachineSpeed, others: float | None) -> Section:
    """The machine's facts, and what of them limits models.

    `others` is how many cores other programs kept busy meanwhile.
    """
    findings = [
        *_processor(machine),
        *power_findings(machine),
        *_memory(machine),
        *_limits(machine, others),
        *_disk(machine),
    ]
    return Section("machine", _facts(machine, speed, others), findings)


def _facts(machine: Machine, speed: MachineSpeed, others: float | None) -> dict[str, Any]:
    throttling = asdict(machine.throttling)
    throttling["source"] = throttling["source"] or "unknown"
    return {
        "name": machine.name,
        "architecture": machine.architecture,
        "system": machine.system,
        "container": machine.is_container,
        "cores": str(machine.topology),
        "big_little": len(machine.topology.clusters) > 1,
        "features": "unknown" if machine.features is None else list(machine.features),
        "memory_bytes": machine.memory_bytes,
        "free_bytes": machine.free_bytes,
        "swap_bytes": machine.swap_bytes,
        "page_bytes": machine.page_bytes,
        "bandwidth_gb_s": round(speed.bandwidth / 1e9, 2),
        "bandwidth_threads": speed.threads,
        "disk": machine.disk.kind,
        "disk_free_bytes": machine.disk.free_bytes,
        "temperature": "unknown" if machine.temperature is None else f"{machine.temperature:.1f} C",
        "throttling": throttling,
        "governor": sorted({clock.governor for clock in machine.clocks}) or "unknown",
        "pressure": {
            f"{name}_{kind}": value
            for name, pressure in machine.pressure.items()
            for kind, value in asdict(pressure).items()
        }
        or "unknown",
        "cgroup_memory_bytes": machine.memory_limit_bytes or "unlimited",
        "cgroup_cpus": machine.cpu_quota or "unlimited",
        "on_battery": machine.on_battery,
        "others_use_cores": "unknown" if others is None else round(others, 2),
    }


def _processor(machine: Machine) -> Iterator[Finding]:
    if not machine.is_64_bit:
        yield Finding(
            "error",
            "processor",
            "this Python runs with 32 bits",
            "llama.cpp and onnxruntime need 64 bits, and a model's file is mapped into memory",
            "install the 64-bit system: Raspberry Pi Imager, 'Raspberry Pi OS (64-bit)'",
        )
    features = machine.features
    if features is not None and machine.architecture in ("x86_64", "AMD64"):
        missing = [name for name in ("AVX2", "FMA", "F16C") if name not in features]
        if missing:
            yield Finding(
                "warning",
                "processor",
                f"the processor has no {', '.join(missing)}",
                "models run several times slower; in a virtual machine the host may hide them",
                "in a virtual machine choose the processor type 'host'; else take small models",
            )
    if features is not None and "NEON" in features and "DOTPROD" not in features:
        yield Finding(
            "note",
            "processor",
            "the processor has no dot product instructions (a Raspberry Pi 4 or older)",
            "reading prompts is about three times slower than on a Raspberry Pi 5",
            "",
        )
    if len(machine.topology.clusters) > 1:
        yield Finding(
            "note",
            "processor",
            f"fast and slow cores: {machine.topology}",
            "threads wait for the slowest of them, so their number is measured on first load",
            "",
        )


def _memory(machine: Machine) -> Iterator[Finding]:
    if machine.free_bytes < LEAST_MEMORY_BYTES:
        yield Finding(
            "warning",
            "memory",
            f"{describe_bytes(machine.free_bytes)} of memory are free",
            "only the smallest models fit, and the kernel may end what takes more",
            "close other programs, or take a model of a smaller size: edge-llm models",
        )
    pressure = machine.pressure.get("memory")
    if pressure is not None and pressure.full > HIGH_PRESSURE:
        yield Finding(
            "warning",
            "memory",
            f"everything waited for memory {pressure.full:.0f} % of the last ten seconds",
            "weights are read from the disk again and again, and answers crawl",
            "close other programs, or take a smaller model or context",
        )
    if not machine.pressure and machine.name.startswith("Raspberry Pi"):
        yield Finding(
            "note",
            "memory",
            "the kernel does not count pressure (PSI)",
            "a shortage of memory cannot be noticed before it hurts",
            "add psi=1 to the line in /boot/firmware/cmdline.txt and restart",
        )


def _limits(machine: Machine, others: float | None) -> Iterator[Finding]:
    limit = machine.memory_limit_bytes
    if limit is not None and limit < machine.memory_bytes:
        yield Finding(
            "note",
            "limits",
            f"the control group allows {describe_bytes(limit)} of memory",
            "models must fit in that; a process that takes more is ended",
            "docker run --memory, MemoryMax= of the systemd unit, or the pod's limits",
        )
    if machine.cpu_quota is not None and machine.cpu_quota < machine.topology.num_cpus:
        yield Finding(
            "note",
            "limits",
            f"the control group allows {machine.cpu_quota:g} processors",
            "fewer threads run, and the last of them may be stopped in every period",
            "docker run --cpus with a whole number, or CPUQuota= of the systemd unit",
        )
    if others is not None and others > BUSY_CORES:
        yield Finding(
            "note",
            "limits",
            f"other programs kept {others:.1f} cores busy while this was measured",
            "answers are slower than they could be, and figures measured now are too low",
            "run it again when the machine is idle",
        )


def _disk(machine: Machine) -> Iterator[Finding]:
    disk = machine.disk
    if disk.free_bytes < LEAST_DISK_BYTES:
        yield Finding(
            "warning",
            "disk",
            f"{describe_bytes(disk.free_bytes)} are free where models are kept",
            "most models do not fit",
            "edge-llm models, then edge-llm models rm; or HF_HOME=/another/disk",
        )
    if disk.kind in ("sd card", "usb", "rotational"):
        yield Finding(
            "note",
            "disk",
            f"models are kept on a disk of kind {disk.kind!r}",
            "the first load takes long, and a model that does not fit in memory is unusable",
            "",
        )
