"""Which instructions the processor has that models are computed with.

Under the names that llama.cpp prints of itself, so that the two can be held against each other.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from edge_llm.device.text import read_text

X86: Mapping[str, str] = MappingProxyType(
    {
        "avx": "AVX",
        "avx2": "AVX2",
        "f16c": "F16C",
        "fma": "FMA",
        "avx_vnni": "AVX_VNNI",
        "avx512f": "AVX512",
        "avx512_vnni": "AVX512_VNNI",
        "avx512_bf16": "AVX512_BF16",
        "amx_int8": "AMX_INT8",
    }
)
"""Flag of /proc/cpuinfo to name. Source: arch/x86/include/asm/cpufeatures.h, Linux 6.12."""

ARM: Mapping[str, str] = MappingProxyType(
    {
        "asimd": "NEON",
        "asimdhp": "FP16_VA",
        "asimddp": "DOTPROD",
        "i8mm": "MATMUL_INT8",
        "sve": "SVE",
        "sme": "SME",
    }
)
"""Source: https://docs.kernel.org/arch/arm64/elf_hwcaps.html"""

_APPLE: Mapping[str, str] = MappingProxyType(
    {
        "hw.optional.AdvSIMD": "NEON",
        "hw.optional.arm.FEAT_FP16": "FP16_VA",
        "hw.optional.arm.FEAT_DotProd": "DOTPROD",
        "hw.optional.arm.FEAT_I8MM": "MATMUL_INT8",
        "hw.optional.arm.FEAT_SME": "SME",
        "hw.optional.avx1_0": "AVX",
        "hw.optional.avx2_0": "AVX2",
        "hw.optional.f16c": "F16C",
        "hw.optional.fma": "FMA",
        "hw.optional.avx512f": "AVX512",
    }
)
"""Source: https://developer.apple.com/documentation/kernel/1387446-sysctlbyname"""


def cpu_features(root: Path = Path("/")) -> tuple[str, ...] | None:
    """What the processor has of the above, in their order; None where the system does not tell."""
    flags = _flags(read_text(root / "proc" / "cpuinfo") or "")
    if flags:
        return tuple(name for flag, name in {**X86, **ARM}.items() if flag in flags)
    return _apple_features() if sys.platform == "darwin" else None


def is_64_bit() -> bool:
    """Whether this Python runs with 64 bits, as every library here needs."""
    return sys.maxsize > 2**32 and platform.architecture()[0] == "64bit"


def _flags(cpuinfo: str) -> frozenset[str]:
    """Those of the first processor; on big.LITTLE the kernel lists what all of them have."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def _apple_features() -> tuple[str, ...] | None:
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-i", *_APPLE], capture_output=True, text=True, timeout=2
        )
    except (OSError, subprocess.SubprocessError):
        return None
    values = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    return tuple(name for key, name in _APPLE.items() if values.get(key) == "1")
