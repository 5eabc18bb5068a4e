"""Recording what Goldmane has: nothing twice, nothing left out, whoever of all that take part is killed."""

from __future__ import annotations

import collections
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import goldmanelike
import pytest

from collector.goldmane import client, keys, source, windows
from model import errors

SECOND = 1_000_000_000
START = 1_700_000_010 // 15 * 15
PATIENCE_SECONDS = 30.0
PAUSES = (0.01, 0.05)


class Ledger:
    """Keeps what is recorded; the same window twice is one, as the ledger's tokens make it."""

    def __init__(self) -> None:
        self.rows: collections.Counter[tuple[int, str]] = collections.Counter()
        self.windows: list[windows.Window] = []
        self.gaps: list[tuple[int, int]] = []
        self.refuse = False
        self.refuse_gaps = False
        self._tokens: set[tuple[int, bool]] = set()

    def last(self) -> int:
        if self.refuse:
            raise errors.StoreError("the ledger is away")
        return max((one.end for one in self.windows), default=0)

    def record(self, window: windows.Window, known: keys.Keys) -> None:
        if self.refuse:
            raise errors.StoreError("the ledger is away")
        if (window.start, window.late) in self._tokens:
            return
        self._tokens.add((window.start, window.late))
        self.windows.append(window)
        for flow in window.flows:
            place = window.start // SECOND - START
            self.rows[place, known[int(flow["key"])].src.name] += int(flow["forward_packets"])

    def missed(self, since: int, until: int) -> None:
        if self.refuse_gaps:
            raise errors.StoreError("no gaps")
        self.gaps.append((since // SECOND - START, until // SECOND - START))

    def starts(self, *, late: bool = False) -> list[int]:
        return [one.start // SECOND - START for one in self.windows if one.late == late]


class Scene:
    """A ledger, a time, and sources."""

    def __init__(self, authority: goldmanelike.Authority) -> None:
        self._authority = authority
        self.ledger = Ledger()
        self.now = float(START)
        self.leads = True
        self._running: list[source.Source] = []

    def source(self, goldmane: goldmanelike.Goldmane, **more: int) -> source.Source:
        """One more, running."""
        made = source.Source(
            client.Client(goldmane.address, self._authority.client), self.ledger,
            leads=lambda: self.leads, now=lambda: self.now, pauses=PAUSES, **more,
        )  # fmt: skip
        made.start()
        self._running.append(made)
        return made

    def until(self, claim: Callable[[], object]) -> bool:
        """Wait for something to become true, which it does by itself."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while not claim() and time.monotonic() < limit:
            for one in self._running:
                one.nudge()
            time.sleep(0.005)
        return bool(claim())

    def stop(self) -> None:
        for one in self._running:
            one.stop()
        self._running.clear()


@pytest.fixture
def scene(authority: goldmanelike.Authority) -> Iterator[Scene]:
    made = Scene(authority)
    yield made
    made.stop()


def fill(goldmane: goldmanelike.Goldmane, since: int, until: int) -> None:
    """In each window a flow of its own and one that is in all of them."""
    for place in range(since, until, 15):
        goldmane.add(START + place, goldmanelike.key(f"own-{place}"), 2)
        goldmane.add(START + place, goldmanelike.key("all"), 3)


def expected(since: int, until: int) -> dict[tuple[int, str], int]:
    own = {(place, f"own-{place}"): 2 for place in range(since, until, 15)}
    return own | {(place, "all"): 3 for place in range(since, until, 15)}


def test_what_goldmane_holds_is_filled_in(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -3000, 0)
    scene.source(goldmane)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    assert scene.ledger.starts() == list(range(-windows.HELD, -30, 15))
    assert scene.ledger.rows == expected(-3000, -30)
    notes = {one.note for one in scene.ledger.windows if not len(one.flows)}
    assert notes == {"Goldmane has no flow of this time"}


def test_seam_has_neither_doubles_nor_gaps(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    """Listed up to now, streamed from then on; some windows come twice, and in the wrong order.

    Time stands still while they are sent, and then runs: so some are recorded in part, and mended at the end.
    """
    fill(goldmane, -300, 0)
    followed = scene.source(goldmane)
    assert scene.until(lambda: goldmane.streaming)
    fill(goldmane, 0, 300)
    for place in (-15, -30, -30, *range(0, 300, 15), 270):
        goldmane.roll(START + place)
    scene.now = START + 330
    assert scene.until(lambda: 285 in scene.ledger.starts())
    assert scene.ledger.starts() == list(range(-windows.HELD, 300, 15))
    scene.now = START + 285 + windows.SETTLED
    assert scene.until(lambda: min(list(followed._schedule._recorded), default=0) >= START + 300)
    assert scene.ledger.rows == expected(-300, 300)


def test_live_windows_are_streamed(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -60, -30)
    followed = scene.source(goldmane)
    assert scene.until(lambda: goldmane.streaming)
    fill(goldmane, -30, 15)
    for place in (-30, -15, 0):
        goldmane.roll(START + place)
    heard = followed._schedule._streamed
    assert scene.until(lambda: sorted(map(len, heard.values())) == [2, 2, 2])
    scene.now = START + 45
    assert scene.until(lambda: 0 in scene.ledger.starts())
    assert scene.ledger.rows == expected(-60, 15)
    assert max(one.start_time_gte for one in goldmane.asked) == START - 45


def test_flows_that_come_late_are_added_once(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -60, 0)
    scene.source(goldmane)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    goldmane.add(START - 60, goldmanelike.key("all"), 10)
    goldmane.add(START - 45, goldmanelike.key("late"), 4)
    scene.now = START + windows.SETTLED
    assert scene.until(lambda: {-60, -45} <= set(scene.ledger.starts(late=True)))
    assert scene.until(lambda: 300 in scene.ledger.starts())
    assert scene.ledger.rows == expected(-60, 0) | {(-60, "all"): 13, (-45, "late"): 4}
    assert scene.ledger.starts(late=True) == [-60, -45]


def test_goldmane_that_is_killed_and_back_is_followed(
    scene: Scene, goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    """Its memory is gone; Felix sends the last five minutes again, to which nothing is added."""
    fill(goldmane, -60, 0)
    followed = scene.source(goldmane)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    goldmane.stop()
    assert scene.until(lambda: "Connection refused" in followed.check())
    again = goldmanelike.Goldmane(authority, goldmane.port).start()
    fill(again, -30, 60)
    scene.now = START + 90
    assert scene.until(lambda: 45 in scene.ledger.starts())
    scene.now = START + windows.SETTLED + 60
    assert scene.until(lambda: windows.SETTLED in scene.ledger.starts())
    assert followed.check() == ""
    assert scene.ledger.rows == expected(-60, 60)
    assert scene.ledger.starts(late=True) == []
    scene.stop()
    again.stop()


def test_who_is_stopped_goes_on_where_it_was(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -60, 0)
    scene.source(goldmane)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    scene.stop()
    fill(goldmane, 0, 60)
    scene.now = START + 90
    scene.source(goldmane)
    assert scene.until(lambda: 45 in scene.ledger.starts())
    assert scene.ledger.rows == expected(-60, 60)
    assert scene.ledger.starts() == list(range(-windows.HELD, 60, 15))
    noted = [one.start // SECOND - START for one in scene.ledger.windows if "late" in one.note]
    assert noted == [-30]


def test_what_goldmane_no_longer_holds_is_said(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    first = scene.source(goldmane)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    first.stop()
    scene.now = START + 2 * windows.HELD
    fill(goldmane, windows.HELD, windows.HELD + 30)
    scene.ledger.refuse_gaps = True
    second = scene.source(goldmane)
    assert scene.until(lambda: second.check() == "no gaps")
    scene.ledger.refuse_gaps = False
    assert scene.until(lambda: windows.HELD + 15 in scene.ledger.starts())
    assert scene.ledger.gaps == [(-30, windows.HELD)]
    assert scene.ledger.rows == expected(windows.HELD, windows.HELD + 30)


def test_who_does_not_lead_records_nothing(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -60, 0)
    scene.leads = False
    scene.source(goldmane)
    scene.leads = True
    assert scene.until(lambda: -45 in scene.ledger.starts())
    assert scene.until(lambda: goldmane.streaming)
    scene.leads = False
    assert scene.until(lambda: not goldmane.streaming)
    fill(goldmane, 0, 60)
    scene.now = START + 90
    recorded = len(scene.ledger.windows)
    scene.leads = True
    assert scene.until(lambda: 45 in scene.ledger.starts())
    assert len(scene.ledger.windows) > recorded
    assert scene.ledger.rows == expected(-60, 60)


def test_two_that_both_think_they_lead_record_once(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -300, 0)
    scene.source(goldmane)
    scene.source(goldmane)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    assert scene.until(lambda: goldmane.streaming == 2)
    assert scene.ledger.rows == expected(-300, -30)


def test_ledger_that_is_away_is_waited_for(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    fill(goldmane, -60, 0)
    scene.ledger.refuse = True
    followed = scene.source(goldmane)
    assert scene.until(lambda: followed.check() == "the ledger is away")
    scene.ledger.refuse = False
    assert scene.until(lambda: -45 in scene.ledger.starts())
    assert followed.check() == ""
    assert scene.ledger.rows == expected(-60, -30)


def test_without_a_stream_windows_are_listed(scene: Scene, authority: goldmanelike.Authority) -> None:
    crowded = goldmanelike.Goldmane(authority, streams=0).start()
    fill(crowded, -60, 0)
    scene.source(crowded)
    assert scene.until(lambda: -45 in scene.ledger.starts())
    fill(crowded, 0, 120)
    scene.now = START + 150
    assert scene.until(lambda: 105 in scene.ledger.starts())
    assert scene.ledger.rows == expected(-60, 120)
    scene.stop()
    crowded.stop()


CHILD = """
import pathlib, sys
sys.path.insert(0, {here!r})
from collector.goldmane import certificates, client, source
from model import errors

folder = pathlib.Path({folder!r})

class Ledger:
    def last(self):
        ends = [int(one.name.split(".")[0]) + 15 for one in folder.glob("*.window")]
        return max(ends, default=0) * 10**9

    def record(self, window, known):
        name = str(window.start // 10**9) + (".late" if window.late else ".flows")
        if not (folder / name).exists():  # the token
            told = [(known[int(flow["key"])].src.name, flow["forward_packets"]) for flow in window.flows]
            rows = [f"{{name}} {{packets}}" for name, packets in told]
            (folder / "new").write_text("\\n".join(rows))
            (folder / "new").rename(folder / name)
        (folder / name).with_suffix(".window").touch()

    def missed(self, since, until): ...

paths = [str(folder / name) for name in ("tls.crt", "tls.key", "ca.crt")]
goldmane = client.Client({address!r}, lambda: certificates.read(*paths))
now = lambda: float((folder / "now").read_text())
made = source.Source(goldmane, Ledger(), now=now, pauses=(0.01, 0.05))
made._run()
"""


@pytest.mark.parametrize("kills", [6])
def test_client_that_is_killed_leaves_neither_doubles_nor_gaps(
    scene: Scene, goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority, tmp_path: pathlib.Path,
    kills: int,
) -> None:  # fmt: skip
    """SIGKILL, at whatever moment; between a window and the word that it is recorded as well."""
    goldmanelike.write(tmp_path, authority.client())
    (tmp_path / "now").write_text(str(START))
    script = CHILD.format(
        here=str(pathlib.Path(__file__).parents[3]), folder=str(tmp_path), address=goldmane.address
    )
    fill(goldmane, -3000, 0)
    for kill in range(kills):
        child = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": "."})
        enough = min(30 * (kill + 1), 180)
        assert scene.until(lambda enough=enough: len(list(tmp_path.glob("*.flows"))) >= enough)  # type: ignore[misc]
        if kill + 1 < kills:
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert scene.until(lambda: (tmp_path / f"{START - 45}.flows").exists())
    child.send_signal(signal.SIGKILL)
    child.wait()
    recorded = {
        (int(file.stem) - START, line.split()[0]): int(line.split()[1])
        for file in tmp_path.glob("*.flows") for line in file.read_text().splitlines()
    }  # fmt: skip
    assert recorded == expected(-3000, -30)
    starts = sorted(int(file.stem) - START for file in tmp_path.glob("*.flows"))
    assert starts == list(range(-windows.HELD, -30, 15))


def test_keys_are_not_remembered_for_ever(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    """Each window has a key of its own here, as rollouts make them; all is recorded nonetheless."""
    fill(goldmane, -300, 600)
    followed = scene.source(goldmane, keys_held=10)
    for second in range(0, 645, 5):
        scene.now = float(START + second)
        assert scene.until(lambda: (followed._schedule.next or 0) + windows.CLOSED > scene.now)
    assert scene.ledger.rows == expected(-300, 600)
    assert followed._distinct <= 12


def test_threads_are_gone_afterwards(scene: Scene, goldmane: goldmanelike.Goldmane) -> None:
    scene.source(goldmane)
    assert scene.until(lambda: goldmane.streaming)
    scene.stop()
    assert not [one for one in threading.enumerate() if one.name in ("goldmane", "goldmane-stream")]
