from pathlib import Path

import pytest

from edge_llm.device.network import has_network

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
ETH = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n"
LO = "lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\n"
DOWN = "eth0\t00000000\t010200C0\t0000\t0\t0\t0\t00000000\n"
V6 = "fd00{zeros} 40 {zeros}0000 00 {zeros}0000 00000100 00000001 00000000 00000001 {name}\n"
LINK_LOCAL = V6.replace("fd00", "fe80")


def six(text: str, name: str) -> str:
    return text.format(zeros="0" * 28, name=name)


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "expected"),
    [
        (HEAD, "", False),
        (HEAD + LO, "", False),
        (HEAD + DOWN, "", False),
        (HEAD + LO + ETH, "", True),
        (HEAD, six(V6, "eth0"), True),
        (HEAD, six(V6, "lo") + six(LINK_LOCAL, "eth0"), False),
        (HEAD + "nonsense with no numbers at all\n", "", True),
    ],
)
def test_a_route_that_leads_out_is_a_network(
    tmp_path: Path, ipv4: str, ipv6: str, expected: bool
) -> None:
    (tmp_path / "route").write_text(ipv4)
    (tmp_path / "ipv6_route").write_text(ipv6)

    assert has_network(tmp_path) is expected


def test_where_routes_cannot_be_read_interfaces_are_asked(tmp_path: Path) -> None:
    assert has_network(tmp_path) in (True, False)
