"""What is read of recorded machines, file by file."""

from pathlib import Path

import pytest

from edge_llm.device.bandwidth import last_level_cache, measure_bandwidth, working_set
from edge_llm.device.disk import disk_kind, disk_of
from edge_llm.device.features import cpu_features
from edge_llm.device.governor import read_clock_policies
from edge_llm.device.machine import read_machine
from edge_llm.device.memory import memory_limit_bytes
from edge_llm.device.pressure import Pressure, read_pressure
from edge_llm.device.temperature import cpu_temperature, read_sensors
from edge_llm.device.throttling import Throttling, decode_firmware, read_throttling
from tests.support.machines import CONTAINER, LAPTOP, PI_4, PI_5, write_machine


def test_a_raspberry_pi_4_is_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path, write_machine(tmp_path / "pi", PI_4))

    assert found.name == "Raspberry Pi 4 Model B Rev 1.4"
    assert found.features == ("NEON",)
    assert found.system == "Debian GNU/Linux 12 (bookworm), Linux 6.6.74+rpt-rpi-v8"
    assert (found.memory_bytes, found.free_bytes) == (3_884_360 << 10, 400_000 << 10)
    assert found.temperature == 82.29
    assert found.pressure == {}
    assert found.topology.num_cores == 4
    assert found.throttling == Throttling(True, True, True, True, "firmware")
    assert [clock.is_slow for clock in found.clocks] == [True]


def test_a_raspberry_pi_5_in_a_service_is_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path, write_machine(tmp_path / "pi", PI_5))

    assert found.features == ("NEON", "FP16_VA", "DOTPROD")
    assert (found.memory_limit_bytes, found.cpu_quota) == (4 << 30, 2.0)
    assert found.throttling == Throttling(False, False, False, False, "firmware")
    assert found.pressure["memory"] == Pressure(some=1.0, full=0.0)
    assert not found.is_container
    assert last_level_cache(tmp_path / "pi" / "sys/devices/system/cpu") == 2 << 20


def test_a_laptop_is_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path, write_machine(tmp_path / "laptop", LAPTOP))

    assert found.features == ("AVX", "AVX2", "F16C", "FMA", "AVX_VNNI")
    assert [cluster.num_cores for cluster in found.topology.clusters] == [2, 4]
    assert found.temperature == 64.0  # of the processor, not of the case or the disk
    assert found.throttling == Throttling(was_slowed=True, source="kernel")
    assert not found.clocks[0].is_slow  # intel_pstate follows the load under this name too


def test_a_container_is_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path, write_machine(tmp_path / "container", CONTAINER))

    assert found.is_container
    assert (found.memory_limit_bytes, found.cpu_quota) == (1 << 30, 1.5)
    assert found.features == ()
    assert (found.temperature, found.clocks, found.throttling.source) == (None, (), "")


def test_an_empty_tree_is_unknown_and_not_an_error(tmp_path: Path) -> None:
    found = read_machine(tmp_path, tmp_path)

    assert (found.features, found.temperature, found.pressure) == (None, None, {})
    assert found.throttling == Throttling()
    assert found.memory_bytes > 0


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    found = read_machine(tmp_path)

    assert found.memory_bytes >= found.free_bytes > 0
    assert found.disk.total_bytes >= found.disk.free_bytes


@pytest.mark.parametrize(
    ("text", "now", "before"),
    [
        ("throttled=0x50005\n", (True, True), (True, True)),
        ("0x50000", (False, False), (True, True)),
        ("80008", (False, True), (False, True)),
        ("20000", (False, False), (False, True)),
        ("0", (False, False), (False, False)),
    ],
)
def test_the_bits_of_the_firmware_are_told_apart(
    text: str, now: tuple[bool, bool], before: tuple[bool, bool]
) -> None:
    found = decode_firmware(text, "x")

    assert found is not None
    assert (found.under_voltage, found.slowed) == now
    assert (found.was_under_voltage, found.was_slowed) == before


def test_firmware_that_says_nonsense_says_nothing(tmp_path: Path) -> None:
    write_machine(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": "??\n"})

    assert read_throttling(tmp_path) == Throttling()


def test_without_firmware_the_voltage_alarm_is_read(tmp_path: Path) -> None:
    hwmon = {name: text for name, text in PI_4.items() if "hwmon" in name}
    write_machine(tmp_path, hwmon)

    assert read_throttling(tmp_path) == Throttling(under_voltage=True, source="kernel")


@pytest.mark.parametrize(
    ("machine", "device", "kind"),
    [
        (PI_4, (179, 2), "sd card"),
        (PI_5, (259, 2), "nvme"),
        (LAPTOP, (8, 1), "usb"),
        (LAPTOP, (8, 16), "rotational"),
        (LAPTOP, (8, 32), "ssd"),
        (CONTAINER, (0, 57), "unknown"),
    ],
)
def test_a_disk_has_a_kind(
    tmp_path: Path, machine: dict[str, str], device: tuple[int, int], kind: str
) -> None:
    assert disk_kind(*device, write_machine(tmp_path, machine)) == kind


def test_soldered_flash_is_not_a_card(tmp_path: Path) -> None:
    machine = {name: text.replace("SD", "MMC") for name, text in PI_4.items()}

    assert disk_kind(179, 2, write_machine(tmp_path, machine)) == "emmc"


def test_a_folder_that_is_yet_to_be_made_has_the_disk_of_its_parent(tmp_path: Path) -> None:
    assert disk_of(tmp_path / "a" / "b").total_bytes == disk_of(tmp_path).total_bytes


def test_damaged_files_of_the_kernel_are_unknown(tmp_path: Path) -> None:
    write_machine(
        tmp_path,
        {
            "proc/pressure/memory": "some avg10=x\n",
            "proc/cpuinfo": "no colon here\n",
            "sys/class/thermal/thermal_zone0/temp": "-274000\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "<unknown>\n",
            "sys/fs/cgroup/memory.max": "max\n",
        },
    )

    assert read_pressure(tmp_path) == {}
    assert cpu_features(tmp_path) is None
    assert (cpu_temperature(tmp_path), read_sensors(tmp_path)) == (None, [])
    assert read_clock_policies(tmp_path)[0].current_khz is None
    assert memory_limit_bytes(tmp_path / "sys/fs/cgroup", tmp_path / "absent") is None


def test_a_limit_of_version_1_that_means_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text("9223372036854771712\n")

    assert memory_limit_bytes(tmp_path, tmp_path / "absent") is None


def test_bandwidth_is_bytes_over_the_best_round() -> None:
    alone = [0.0, 1.0, 1.9, 2.0, 2.8, 3.0, 3.9, 9.0]  # begin, three rounds, time is up
    together = [10.0, 11.0, 11.9, 12.0, 12.5, 13.0, 13.9, 19.0]
    times = iter(alone + together)

    found = measure_bandwidth(2, size=1 << 20, clock=lambda: next(times))

    assert found.bytes_per_s == (1 << 20) / 0.5
    assert (found.threads, found.size) == (2, 1 << 20)


def test_what_is_read_does_not_fit_in_the_caches(tmp_path: Path) -> None:
    index = tmp_path / "cpu0" / "cache" / "index3"
    index.mkdir(parents=True)
    (index / "size").write_text("98304K\n")

    assert last_level_cache(tmp_path) == 96 << 20
    assert 1 << 20 <= working_set(tmp_path) <= 192 << 20
    (index / "size").write_text("much\n")
    assert last_level_cache(tmp_path) == 0
