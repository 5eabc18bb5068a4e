"""How much of an interval each source saw: what makes an answer honest."""

from __future__ import annotations

import dataclasses

from runtime import logs, metrics

_limited = logs.Limited(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """One source in one interval.

    Attributes:
        time: End of the interval in ns since 1970.
        observed: What was recorded: of `conntrack` and `ebpf` the connections that are new, else packets.
        lost: What the kernel threw away.
        discarded: What we threw away, because there was too much or because it could not be read.
        incomplete: Of what was lost or discarded, that which the ledger knows all the same, but for its last
            words: connections that were seen alive and vanished without a DESTROY.
        note: What is not counted at all, in words; empty if nothing is.
    """

    time: int
    node: str
    source: str
    observed: int
    lost: int = 0
    discarded: int = 0
    incomplete: int = 0
    note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a source has counted since its start."""

    lost: int = 0
    discarded: int = 0
    malformed: int = 0
    incomplete: int = 0


class Account:
    """Turns totals into what each interval adds to them, and tells the metrics.

    Args:
        node: Name of the node.
        measured: The process's metrics.
    """

    def __init__(self, node: str, measured: metrics.Metrics) -> None:
        self._node = node
        self._metrics = {
            "lost": measured.lost, "discarded": measured.discarded, "malformed": measured.unreadable,
            "incomplete": measured.incomplete,
        }  # fmt: skip
        self._known: dict[str, Totals] = {}

    def settle(
        self, source: str, time: int, observed: int, totals: Totals, *, note: str = "", error: str = ""
    ) -> Completeness:
        """The completeness of a source in the interval that ends now.

        Args:
            source: Its name.
            time: The end in ns since 1970.
            observed: What it has recorded in the interval.
            totals: What it has counted since its start.
            note: What it cannot know here.
            error: What was wrong with a message that could not be read, for the log.
        """
        known = self._known.get(source, Totals())
        self._known[source] = totals
        new = {name: getattr(totals, name) - getattr(known, name) for name in self._metrics}
        for name, metric in self._metrics.items():
            metric.labels(self._node, source).inc(max(new[name], 0))
        if any(new.values()):
            fields = {name: count for name, count in new.items() if count} | (
                {"first": error} if error else {}
            )
            _limited.warning("not all was seen", node=self._node, source=source, **fields)
        return Completeness(
            time=time, node=self._node, source=source, observed=observed, lost=max(new["lost"], 0),
            discarded=max(new["discarded"] + new["malformed"], 0), incomplete=new["incomplete"], note=note,
        )  # fmt: skip
