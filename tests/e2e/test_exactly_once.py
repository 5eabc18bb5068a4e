"""SIGKILL at any moment, of the writer or of the server: each row that was safe is in the ledger once.

``pytest tests/e2e/test_exactly_once.py --rounds 100 -s`` is the long form.
"""

from __future__ import annotations

import collections
import pathlib
import random
import sys
import time

import clickhouse_server
import lives
import pytest

from cli import store

pytestmark = pytest.mark.e2e

_SECONDS = 0.4
"""A kill comes so long after rows began to flow, at most."""


@pytest.fixture
def chance() -> random.Random:
    """Decides when and who; its seed is in what a failed test shows."""
    seed = random.randrange(1 << 32)
    _say(f"seed {seed}")
    return random.Random(seed)


def test_kills_of_writer_and_server_count_no_row_twice_and_lose_none(
    mortal: clickhouse_server.Server,
    tmp_path: pathlib.Path,
    chance: random.Random,
    request: pytest.FixtureRequest,
) -> None:
    lives.make(mortal.native_url)
    kills, told, began = collections.Counter[str](), lives.Told(), time.monotonic()
    node: lives.Process | None = None
    for life in range(request.config.getoption("rounds")):
        node = node or _begin(mortal.native_url, tmp_path, life, chance)
        node.hear(told)
        time.sleep(chance.random() * _SECONDS)
        victims = chance.choice([("writer",), ("server",), ("writer", "server"), ("server", "writer")])
        for victim in victims:
            if victim == "server":
                mortal.kill()
            else:
                node.kill(told)
                node = None
        if "server" in victims:
            store.mend(mortal.data)  # as its unit does: one of a hundred kills would lose a block else
            mortal.start()
        kills[" and ".join(sorted(victims))] += 1
    if node:
        node.kill(told)
    mortal.kill()  # this build of the server may end by itself, or hang, after so many broken connections
    store.mend(mortal.data)
    mortal.start()
    held = lives.finished(mortal.native_url, tmp_path / "spool")
    _say(f"{len(held.numbers)} rows, {dict(kills)}, {time.monotonic() - began:.0f} s")
    told.check(held)


def test_kills_of_the_embedded_ledger_count_no_row_twice_and_lose_none(
    tmp_path: pathlib.Path, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    url, told, began = f"chdb://{tmp_path}/ledger", lives.Told(), time.monotonic()
    for life in range(request.config.getoption("rounds")):
        node = _begin(url, tmp_path, life, chance)
        if chance.random() < 0.9:  # else it is still opening the ledger
            node.hear(told)
        time.sleep(chance.random() * _SECONDS)
        node.kill(told)
    held = lives.finished(url, tmp_path / "spool")
    _say(f"{len(held.numbers)} rows, {life + 1} kills, {time.monotonic() - began:.0f} s")
    told.check(held)


def _begin(url: str, folder: pathlib.Path, life: int, chance: random.Random) -> lives.Process:
    return lives.Process(url, folder / "spool", life, chance.randrange(1 << 32))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
