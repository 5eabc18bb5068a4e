"""Records what tools and kernel say of real rulesets: ``python tests/captures/counters/record.py``, as root.

Makes a throw-away node with pods, loads each ruleset of the tests of ``collector/counters``, sends their
traffic through it, and writes beside itself, with the tool's or the kernel's version in each name, what was
printed (``.txt``, and ``.bin`` for the kernel's own form) and what we make of it (``.json``). That is to be
read by a person before it is committed. Captures are kept for ever: a new version, or a bug, adds files and
replaces none.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pathlib
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from collector.counters import attribution, iptables, kernel, nftables, rules, tables
from collector.netlink import sockets
from lab import namespaces

HERE = pathlib.Path(__file__).parent
KERNEL = "linux-" + ".".join(platform.release().split("-")[0].split(".")[:3])


def main() -> None:
    """Record everything that is not there yet."""
    shapes = _shapes()
    for title, generation in shapes.GENERATIONS.items():
        for back_end in ("legacy", "nft"):
            with _node(shapes) as node:
                node.run(f"iptables-{back_end}-restore", text=generation.render())
                _talk(node)
                tool = f"iptables-{back_end}-save"
                version = node.run(tool, "--version").split()[1].lstrip("v")
                text = node.run(tool, "-c", "-t", "filter")
                _write(f"calico-{title.replace(' ', '-')}.{tool}-{version}", text, *iptables.read(text, 4))
    for version in shapes._KUBE_WORDS:
        with _node(shapes) as node:
            shapes.KubeRouter(version).load(node)
            _talk(node)
            text = node.run("iptables-legacy-save", "-c", "-t", "filter")
            _write(
                f"kube-router-{version.replace(' ', '-')}.iptables-legacy-save", text, *iptables.read(text, 4)
            )
    with _node(shapes) as node:
        script = shapes.lab_rules(shapes.parsed())
        node.run("nft", "-f", "-", text=script(4))
        _talk(node)
        text = node.run("nft", "-j", "-t", "list", "table", "ip", "calico")
        version = node.run("nft", "--version").split()[1].lstrip("v")
        _write(f"calico-lab.nft-{version}", text, *nftables.read(text))
        with namespaces.within(node.path, sockets.open_netfilter) as opened:
            (table,) = tables.nftables(opened)
            answer = kernel.read(opened, table)
            numbers = kernel.split(answer, table)
        aligned = kernel.align(nftables.read(text)[0], answer, table)
        _save(f"calico-lab.{KERNEL}.bin", answer)
        _write(f"calico-lab.{KERNEL}", "", aligned, numbers)


def _shapes() -> Any:
    """The tests' own module of rulesets."""
    path = HERE.parents[1] / "collector" / "counters" / "conftest.py"
    spec = importlib.util.spec_from_file_location("counters_shapes", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _node(shapes: Any) -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder, shapes.made_node(pathlib.Path(folder)) as node:
        yield node


def _talk(node: Any) -> None:
    node.talk()
    time.sleep(0.2)


def plain(ruleset: rules.Ruleset, numbers: rules.Numbers[Any]) -> dict[str, Any]:
    """What is attributed, by itself and without knowledge of policies, as plain values."""
    return {
        "rules": len(ruleset.rules),
        "unreadable": ruleset.unreadable,
        "counted": [
            {
                "chain": one.rule.chain, "position": one.rule.position, "hit": one.hit.render(),
                "exact": one.exact, "group": one.group, "packets": int(numbers.packets[one.rule.counter]),
                "bytes": int(numbers.bytes[one.rule.counter]),
            }
            for one in attribution.attribute(ruleset, attribution.Known())
        ],
    }  # fmt: skip


def _write(name: str, text: str, ruleset: rules.Ruleset, numbers: rules.Numbers[Any]) -> None:
    if text:
        _save(f"{name}.txt", text.encode())
    _save(f"{name}.json", (json.dumps(plain(ruleset, numbers), indent=1) + "\n").encode())


def _save(name: str, content: bytes) -> None:
    if not (HERE / name).exists():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
