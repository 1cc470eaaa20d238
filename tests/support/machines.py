"""Machines as their /proc and /sys show them: a Pi 4, a Pi 5, a laptop and a container.

Only the files that this program reads, in the spelling and units of the kernels that those machines
run; `write_machine` puts one under a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_ARM_CPU = (
    "processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU variant\t: 0x{variant}\nCPU part\t: 0x{part}\nCPU revision\t: 3\n\n"
)
_A72 = "fp asimd evtstrm crc32 cpuid"
_A76 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop"
    " asimddp"
)
_LAPTOP_FLAGS = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr sse sse2 ssse3 fma sse4_1 sse4_2 avx f16c"
    " rdrand avx2 bmi1 bmi2 avx_vnni vaes"
)


def _arm(features: str, part: str, variant: str = "0") -> str:
    cpus = (_ARM_CPU.format(n=n, features=features, part=part, variant=variant) for n in range(4))
    return "".join(cpus)


def _meminfo(total_kb: int, free_kb: int, swap_kb: int) -> str:
    return (
        f"MemTotal:       {total_kb} kB\nMemFree:        {free_kb // 2} kB\n"
        f"MemAvailable:   {free_kb} kB\nBuffers:          40000 kB\nSwapTotal:      {swap_kb} kB\n"
        "HugePages_Total:       0\n"
    )


def _cpus(count: int, max_khz: Mapping[int, int] | int) -> dict[str, str]:
    files = {"sys/devices/system/cpu/online": f"0-{count - 1}\n"}
    for cpu in range(count):
        clock = max_khz if isinstance(max_khz, int) else max_khz[cpu]
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        files[f"{folder}/topology/core_cpus_list"] = f"{cpu}\n"
        files[f"{folder}/cpufreq/cpuinfo_max_freq"] = f"{clock}\n"
    return files


def _policy(number: int, governor: str, driver: str, khz: tuple[int, int, int]) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpufreq/policy{number}"
    names = ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
    return {
        f"{folder}/scaling_governor": f"{governor}\n",
        f"{folder}/scaling_driver": f"{driver}\n",
        **{f"{folder}/{name}": f"{value}\n" for name, value in zip(names, khz, strict=True)},
    }


def _pressure(memory_full: float) -> dict[str, str]:
    calm = "some avg10=0.50 avg60=0.20 avg300=0.10 total=91213\n"
    none = "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    full = f"full avg10={memory_full:.2f} avg60=3.10 avg300=1.00 total=812\n"
    return {
        "proc/pressure/cpu": calm + none,
        "proc/pressure/memory": f"some avg10={memory_full + 1:.2f} avg60=4.00 avg300=1.20 total=9\n"
        + full,
        "proc/pressure/io": calm + none,
    }


_CARD = "sys/devices/platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0"
_NVME = "sys/devices/platform/axi/1000110000.pcie/pci0001:00/nvme/nvme0/nvme0n1"

PI_4 = {
    **_cpus(4, 1_800_000),
    **_policy(0, "powersave", "cpufreq-dt", (600_000, 1_800_000, 1_800_000)),
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": _arm(_A72, "d08") + "Revision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B\n",
    "proc/meminfo": _meminfo(3_884_360, 400_000, 102_396),
    "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
    "proc/sys/kernel/osrelease": "6.6.74+rpt-rpi-v8\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "82290\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon0/temp1_input": "82290\n",
    "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n",
    f"{_CARD}/mmcblk0p2/partition": "2\n",
    f"{_CARD}/device/type": "SD\n",
}
"""4 GB, Raspberry Pi OS without PSI, a weak supply, no cooler, an SD card, the clock kept low."""

PI_5 = {
    **_cpus(4, 2_400_000),
    **_policy(0, "ondemand", "cpufreq-dt", (2_400_000, 2_400_000, 2_400_000)),
    **_pressure(0.0),
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": _arm(_A76, "d0b", "4"),
    "proc/meminfo": _meminfo(8_257_904, 7_100_000, 204_784),
    "proc/self/cgroup": "0::/system.slice/edge-llm.service\n",
    "sys/fs/cgroup/system.slice/edge-llm.service/memory.max": "4294967296\n",
    "sys/fs/cgroup/system.slice/edge-llm.service/memory.current": "104857600\n",
    "sys/fs/cgroup/system.slice/edge-llm.service/cpu.max": "200000 100000\n",
    "proc/sys/kernel/osrelease": "6.12.20+rpt-rpi-2712\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "51250\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "sys/devices/system/cpu/cpu0/cache/index3/size": "2048K\n",
    f"{_NVME}/nvme0n1p2/partition": "2\n",
    f"{_NVME}/queue/rotational": "0\n",
}
"""8 GB with a cooler and an NVMe disk, as a systemd service that may use half of it."""

LAPTOP = {
    **_cpus(
        6, {0: 4_800_000, 1: 4_800_000, 2: 3_600_000, 3: 3_600_000, 4: 3_600_000, 5: 3_600_000}
    ),
    **_policy(0, "powersave", "intel_pstate", (1_200_000, 4_800_000, 4_800_000)),
    **_pressure(23.4),
    "proc/cpuinfo": (
        "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: 13th Gen Intel(R) Core(TM) i5\n"
        f"flags\t\t: {_LAPTOP_FLAGS}\n"
    ),
    "proc/meminfo": _meminfo(16_134_788, 9_000_000, 8_388_604),
    "proc/self/cgroup": "0::/user.slice\n",
    "proc/sys/kernel/osrelease": "6.8.0-52-generic\n",
    "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04.2 LTS"\n',
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "47000\n",
    "sys/class/thermal/thermal_zone1/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone1/temp": "64000\n",
    "sys/class/hwmon/hwmon3/name": "nvme\n",
    "sys/class/hwmon/hwmon3/temp1_input": "38850\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "12\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "0\n",
    "sys/devices/system/cpu/cpu0/cache/index3/size": "12288K\n",
    "sys/devices/pci0000:00/usb2/2-1/block/sda/sda1/partition": "1\n",
    "sys/devices/pci0000:00/usb2/2-1/block/sda/queue/rotational": "1\n",
    "sys/devices/pci0000:00/ata1/block/sdb/queue/rotational": "1\n",
    "sys/devices/pci0000:00/ata2/block/sdc/queue/rotational": "0\n",
}
"""Performance and efficiency cores; short of memory; a governor that only sounds slow."""

CONTAINER = {
    **_cpus(8, 3_000_000),
    "sys/devices/system/cpu/online": "0-7\n",
    ".dockerenv": "",
    "proc/cpuinfo": (
        "processor\t: 0\nmodel name\t: Common KVM processor\nflags\t\t: fpu sse sse2 ssse3 sse4_1\n"
    ),
    "proc/meminfo": _meminfo(32_000_000, 20_000_000, 0),
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/memory.max": "1073741824\n",
    "sys/fs/cgroup/cpu.max": "150000 100000\n",
    "proc/sys/kernel/osrelease": "5.15.0-91-generic\n",
    "sys/devices/virtual/block/loop0/queue/rotational": "0\n",
}
"""Docker in a virtual machine whose host hides the processor's instructions."""

DEVICES = {
    "179:2": f"{_CARD}/mmcblk0p2",
    "259:2": f"{_NVME}/nvme0n1p2",
    "8:1": "sys/devices/pci0000:00/usb2/2-1/block/sda/sda1",
    "8:16": "sys/devices/pci0000:00/ata1/block/sdb",
    "8:32": "sys/devices/pci0000:00/ata2/block/sdc",
}
"""What /sys/dev/block links to."""


def write_machine(root: Path, files: Mapping[str, str]) -> Path:
    """The machine under `root`, which is returned."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    links = root / "sys" / "dev" / "block"
    links.mkdir(parents=True, exist_ok=True)
    for number, target in DEVICES.items():
        if (root / target).is_dir():
            (links / number).symlink_to(root / target)
    return root
