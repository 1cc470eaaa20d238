"""`edge-llm doctor` from end to end: look everywhere, then print, or write a report."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import Any

import edge_llm
from edge_llm.backends.onnx.probe import OnnxQuestion
from edge_llm.backends.speed import measure_speed
from edge_llm.cli.doctor.caches import examine_caches
from edge_llm.cli.doctor.endpoints import configured_endpoints, examine_endpoints
from edge_llm.cli.doctor.finding import ORDER, Finding, Section
from edge_llm.cli.doctor.libraries import examine_libraries
from edge_llm.cli.doctor.machine import examine_machine
from edge_llm.cli.doctor.redact import Redactor, token_files
from edge_llm.cli.doctor.settings import examine_settings
from edge_llm.cli.table import print_json
from edge_llm.config import explain_config, is_offline
from edge_llm.device.machine import read_machine
from edge_llm.device.usage import OthersMeter
from edge_llm.hub.cache_layout import cache_root

FORMAT = 1


def run(*, online: bool, as_json: bool, bundle: str | None) -> None:
    """Print what was found: tables on a terminal, text into a pipe, or one JSON object.

    Raises:
        ConfigError: the bundle cannot be written.
    """
    sections = examine(online=online)
    redactor = Redactor(token_files=token_files())
    record = redactor.record(to_record(sections), names=False)
    if bundle is not None:
        from edge_llm.cli.doctor.bundle import write_bundle

        write_bundle(bundle, redactor.record(record))
        print(f"written: {bundle}; look at it before you send it", file=sys.stderr)
    if as_json:
        print_json(record)
    elif bundle is None:
        from edge_llm.cli.doctor.show import show

        show(record, sys.stdout)


def examine(*, online: bool = False) -> list[Section]:
    """Every part of the machine and of the installation, worst findings first in each."""
    question = OnnxQuestion()  # a process of its own, busy while files are read here
    explained = explain_config()
    settings, config = examine_settings(explained), explained.config
    caches = examine_caches(config)
    machine = read_machine(cache_root())
    onnx = question.answer()
    meter = OthersMeter(own_time=_time_of_ours)
    speed, probe = measure_speed(config)
    sections = [
        examine_machine(machine, speed, meter.sample()),
        examine_libraries(probe, onnx, machine.features),
        caches,
        settings,
    ]
    if online:
        sections.append(examine_endpoints(configured_endpoints(config), is_offline=is_offline()))
    return sections


def to_record(sections: list[Section]) -> dict[str, Any]:
    """One object: facts by section, and all findings, the worst first."""
    findings = [finding for section in sections for finding in section.findings]
    return {
        "format": FORMAT,
        "edge_llm": edge_llm.__version__,
        **{section.name: section.facts for section in sections},
        "findings": [asdict(finding) for finding in sorted(findings, key=_rank)],
    }


def _rank(finding: Finding) -> int:
    return ORDER.index(finding.severity)


def _time_of_ours() -> float:
    """Processor seconds of this process and of children that have ended."""
    return sum(os.times()[:4])
