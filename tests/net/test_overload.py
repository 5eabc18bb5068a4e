"""What the ledger says of its own completeness, when the kernel had to throw most of it away."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from cli.bench import measure
from store import queries

pytestmark = [pytest.mark.net, pytest.mark.e2e]

SENT = 400_000
ASK = """
import dataclasses, json, sys
from store import queries, transport
ledger = transport.open(sys.argv[1])
print(json.dumps(dataclasses.asdict(queries.summary(ledger, queries.Span(0, 2**62)))))
"""
"""In a process of its own, as chDB allows one folder a process, and other tests have theirs here."""


def test_figure_is_what_was_really_recorded(tmp_path: pathlib.Path) -> None:
    """Connections born and gone as fast as they go, and a buffer that holds few of their ends."""
    url = f"chdb://{tmp_path}/ledger"
    with measure.namespace() as path:
        command = [
            sys.executable, "-m", "cli.main", "collect", "--netns", str(path), "--store", url,
            "--metrics-port", "0", "--source", "conntrack", "--interval", "2",
        ]  # fmt: skip
        small = {"FLOWLEDGER_COLLECTOR__RECEIVE_BUFFER_BYTES": str(1 << 18)}
        with subprocess.Popen(command, env=os.environ | small, stderr=subprocess.PIPE, text=True) as process:
            list(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stderr or ()))
            load = measure.Load("lives", path, SENT, 1e9)
            load.go()
            done = load.wait()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0
    assert done["done"] == SENT
    asked = subprocess.run([sys.executable, "-c", ASK, url], capture_output=True, text=True, check=True)
    found = queries.Summary(**json.loads(asked.stdout))
    sys.stdout.write(f"{done['done'] / done['seconds']:,.0f} connections/s, {found}\n")
    assert found.flows < 0.9 * SENT
    assert found.completeness == pytest.approx(found.flows / SENT, rel=0.01)
    assert found.lost == pytest.approx(SENT - found.flows, rel=0.01)
