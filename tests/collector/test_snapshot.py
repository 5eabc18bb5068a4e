"""The kernel's table as record batches, by the word of ``conntrack``."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import pyarrow as pa
import pytest

from collector import snapshot
from collector.conntrack import decode, scope
from collector.netlink import sockets
from lab import entries
from model import address, columns, errors

SECOND = 1_000_000_000


def test_names_and_types_are_the_flow_record_s() -> None:
    shared = [field for field in snapshot.SCHEMA if field.name in columns.BY_NAME]
    assert len(shared) > 15
    assert [field.type for field in shared] == [columns.BY_NAME[field.name].arrow for field in shared]


def test_every_value_is_in_its_column(connections: Callable[..., decode.Connections]) -> None:
    row = {
        "src": "10.0.0.1", "src_port": 1, "dst": "fd00::2", "dst_port": 2, "service": "10.96.0.1",
        "service_port": 3, "snat": "192.0.2.1", "snat_port": 4, "protocol": 6, "icmp_type": 5, "icmp_code": 6,
        "icmp_id": 7, "forward_packets": 8, "forward_bytes": 9, "reverse_packets": 10,
        "reverse_bytes": 1 << 60, "status": 12, "timeout": 13, "mark": 14, "zone": 15, "id": 16,
        "started": 100 * SECOND + 1, "state": 3,
    }  # fmt: skip
    made = snapshot.batch(connections(row))
    assert made.schema == snapshot.SCHEMA
    (told,) = made.cast(
        pa.schema(
            [field.with_type(pa.int64()) if field.name == "started" else field for field in made.schema]
        )
    ).to_pylist()
    expected = {name: value for name, value in row.items() if name != "state"} | {"tcp_state": "established"}
    for end in ("src", "dst", "service", "snat"):
        expected[f"{end}_address"] = address.pack(str(expected.pop(end)))
    assert told == expected


def test_nothing_is_an_empty_batch(connections: Callable[..., decode.Connections]) -> None:
    made = snapshot.batch(connections())
    assert (made.num_rows, made.schema) == (0, snapshot.SCHEMA)


@pytest.mark.net
def test_table_is_what_conntrack_lists(namespace) -> None:
    with sockets.within(namespace.path, sockets.open_netfilter) as opened:
        assert entries.send(opened, entries.insertions(entries.mix(), 3000)) == 0
    found = pa.Table.from_batches(snapshot.batches(namespace.path, scope.EVERYTHING)).to_pylist()
    ours = {
        row["id"]: (
            *(address.render(row[f"{name}_address"]) for name in ("src", "dst", "service")),
            row["dst_port"] or row["icmp_type"], row["tcp_state"],
        )
        for row in found
    }  # fmt: skip
    assert ours == _listed(namespace.run("conntrack", "-L", "-o", "extended,id"))


def _listed(text: str) -> dict[int, tuple[object, ...]]:
    """Who, whom, by which service, on which port, and in which state, by id."""
    found = {}
    for line in text.splitlines():
        words = dict(re.findall(r"(\w+)=(\S+)", line)[::-1])  # the first of a name counts: the original's
        reply = re.findall(r"src=(\S+)", line)[1]
        sport = re.findall(r"sport=(\S+)", line)
        state = re.search(r"[A-Z_]{5,}", line)
        found[int(line.rsplit("=", 1)[1])] = (
            words["src"], reply, words["dst"] if words["dst"] != reply else "",
            int(sport[1] if sport else words["type"]), state[0].lower() if state and " tcp " in line else "",
        )  # fmt: skip
    return found


@pytest.mark.net
def test_scope_is_kept(namespace) -> None:
    for zone, count in ((0, 3), (5, 2)):
        for number in range(count):
            namespace.run("conntrack", "-I", "-p", "udp", "-s", "10.0.0.1", "-d", "10.0.0.2", "--sport",
                          str(1000 + number), "--dport", "53", "-t", "60", "-w", str(zone))  # fmt: skip
    for wanted, count in ((scope.parse(-1, ""), 5), (scope.parse(5, ""), 2), (scope.parse(7, ""), 0)):
        assert sum(len(batch) for batch in snapshot.batches(namespace.path, wanted)) == count


@pytest.mark.net
def test_missing_right_is_named(namespace) -> None:
    script = (
        "from collector import snapshot; from collector.conntrack import scope; from model import errors\n"
        "try: list(snapshot.batches(None, scope.EVERYTHING))\n"
        "except errors.SetupError as error: print(error)"
    )
    done = namespace.within(lambda: subprocess.run(
        ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", script],
        capture_output=True, text=True, check=True,
    ))  # fmt: skip
    assert done.stdout == "reading the connection table needs CAP_NET_ADMIN: run as root\n"


def test_namespace_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="cannot enter network namespace"):
        list(snapshot.batches(tmp_path / "nothing", scope.EVERYTHING))
