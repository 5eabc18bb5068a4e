"""nftables' counters in the kernel's own form."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from collector.counters import kernel, nftables, tables
from collector.netlink import sockets

TABLE = tables.Table("ip", "calico", 2)
"""With the handle that it has in the captures."""


def test_capture_is_attributed_as_recorded(
    captures: pathlib.Path, plain: Callable[..., dict[str, Any]]
) -> None:
    found = sorted(captures.glob("calico-lab.linux-*.bin"))
    assert found
    printed, _ = nftables.read((captures / "calico-lab.nft-1.0.6.txt").read_text())
    for path in found:
        answer = path.read_bytes()
        ruleset = kernel.align(printed, answer, TABLE)
        expected = json.loads(path.with_name(f"{path.stem}.json").read_text())
        assert plain(ruleset, kernel.split(answer, TABLE)) == expected


def test_shape_is_without_what_changes_by_itself(captures: pathlib.Path) -> None:
    (path, *_) = sorted(captures.glob("calico-lab.linux-*.bin"))
    answer = path.read_bytes()
    numbers = kernel.split(answer, TABLE)
    changed = np.frombuffer(answer, np.uint8).copy()
    starts = np.array([start for start, _ in tables.messages(answer)])
    changed[starts[:, np.newaxis] + np.array([8, 12, 19])] ^= 255
    again = kernel.split(changed.tobytes(), TABLE)
    assert again.shape == numbers.shape
    assert again.packets.tolist() == numbers.packets.tolist()
    assert kernel.split(answer, tables.Table("ip", "calico", 3)).shape != numbers.shape


def test_other_rules_are_refused(captures: pathlib.Path) -> None:
    printed, _ = nftables.read((captures / "calico-lab.nft-1.0.6.txt").read_text())
    with pytest.raises(ValueError, match="was not there before"):
        kernel.align(printed, b"", TABLE)


@hypothesis.given(strategies.binary())
def test_any_answer_is_split(answer: bytes) -> None:
    kernel.split(answer, TABLE)


@pytest.mark.net
def test_counter_of_a_set_is_no_rules(namespace: Any) -> None:
    namespace.nft("""
        table ip mine {
          set seen { type ipv4_addr; flags dynamic, timeout; timeout 1m; }
          counter named { }
          chain c {
            type filter hook output priority 0
            update @seen { ip daddr counter } counter accept
            counter name "named" drop
            update @seen { ip saddr counter }
            udp dport 1 counter drop comment "counter"
          }
        }
    """)
    text = namespace.run("nft", "-j", "-t", "list", "table", "ip", "mine")
    with namespace.within(sockets.open_netfilter) as opened:
        (table,) = (t for t in tables.nftables(opened) if t.name == "mine")
        answer = kernel.read(opened, table)
    ruleset = kernel.align(nftables.read(text)[0], answer, table)
    assert [rule.counter for rule in ruleset.rules] == [0, -1, -1, 1]
    assert kernel.split(answer, table).packets.tolist() == [0, 0]


@pytest.mark.net
def test_absent_table_has_no_rules(namespace: Any) -> None:
    with namespace.within(sockets.open_netfilter) as opened:
        assert kernel.read(opened, TABLE) == b""
