"""Expressions as the kernel reads them and nft shows them."""

from __future__ import annotations

import re
import struct

import pytest

from collector.probe import expressions, ruleset, table

PLAN = ruleset.Plan(size=64, timeout_seconds=32, period_seconds=32, examples=8)
EDGE = "ct original {ip} saddr . ct original {ip} daddr . ct protocol . ct original proto-dst"
ANSWER = "ct reply {ip} saddr . ct reply proto-src"
PERIOD = 'meta hour & "…"'  # nft shows seconds of the day as a time of the day

SEEN = f"""meta nfproto {{family}} limit rate 20/second burst 20 packets
update @example{{n}} {{{{ {EDGE} . ct original proto-src . {PERIOD} }}}}
|meta nfproto {{family}} update @seen{{n}} {{{{ {EDGE} . {PERIOD} counter }}}} return"""
ADMITTED = f"meta nfproto {{family}} update @admitted{{n}} {{{{ {EDGE} . {PERIOD} counter }}}} return"
REACHED = f"""meta nfproto {{family}} ct status dnat
update @service_reached{{n}} {{{{ {EDGE} . {ANSWER} . {PERIOD} counter }}}}
|meta nfproto {{family}} update @reached{{n}} {{{{ {EDGE} . {PERIOD} counter }}}} return"""
PASSED = f"""meta nfproto {{family}} ct status dnat
update @service_passed{{n}} {{{{ {EDGE} . {ANSWER} . {PERIOD} counter }}}}
|meta nfproto {{family}} delete @example{{n}} {{{{ {EDGE} . ct original proto-src . {PERIOD} }}}}
|meta nfproto {{family}} update @passed{{n}} {{{{ {EDGE} . {PERIOD} counter }}}} return"""


def _expected(template: str, stage: str) -> list[str]:
    families = [{"family": "ipv4", "ip": "ip", "n": 4}, {"family": "ipv6", "ip": "ip6", "n": 6}]
    rules = [template.replace("\n|", "|").format(**words).replace("\n", " ") for words in families]
    return [rule for lines in rules for rule in lines.split("|")] + [f'counter name "missed_{stage}"']


@pytest.mark.net
@pytest.mark.parametrize(
    ("stage", "template"),
    [("seen", SEEN), ("admitted", ADMITTED), ("reached", REACHED), ("passed", PASSED)],
)
def test_nft_shows_what_was_meant(network, stage: str, template: str) -> None:
    made = table.Table(network.paths["router"], PLAN)
    shown = network.run("nft", "list", "chain", "inet", ruleset.TABLE, stage)
    lines = [re.sub(r'& "[^"]*"', '& "…"', line.strip()) for line in shown.splitlines()]
    rules = [line for line in lines if line.startswith(("meta", "counter"))]
    assert rules == _expected(template, stage)
    made.close()


@pytest.mark.net
def test_nft_shows_when_stages_count(network) -> None:
    made = table.Table(network.paths["router"], PLAN)
    shown = network.run("nft", "list", "ruleset")
    rules = [line.strip() for line in shown.splitlines() if "jump" in line]
    to_us = "ct state new meta pkttype host jump"
    assert rules == [
        f"{to_us} seen", f"{to_us} admitted", "ct state new jump seen", "ct state new jump admitted",
        "ct state new jump reached", "ct state new jump reached", "ct state new jump reached",
        "ct state new jump passed", "ct state new jump passed",
    ]  # fmt: skip
    made.close()


def test_negative_numbers_are_complements() -> None:
    assert expressions.be32(1, -5) == struct.pack("=HH", 8, 1) + struct.pack(">i", -5)


@pytest.mark.parametrize(("seconds", "mask"), [(1, 0xFFFFFFFF), (32, 0xFFFFFFE0), (1 << 31, 1 << 31)])
def test_period_masks_the_seconds_below_it(seconds: int, mask: int) -> None:
    assert struct.pack("=I", mask) in expressions.period(4, seconds)
