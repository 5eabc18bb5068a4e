"""The join: connections know who and how much, logged packets know which rule; a flow needs both."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector import attempts, traces
from collector.conntrack import decode, table
from collector.probe import edges
from model import asof, columns, enums

_PATIENCE = 3
"""Intervals that an allowed attempt may wait for its connection to show."""
_UDP, _IPIP = 17, 4
_LOOPBACK_V4, _LOOPBACK_V6 = 127, bytes(15) + b"\x01"
_VERDICTS = [verdict.value for verdict in enums.Verdict]
_ALLOWED, _DENIED, _UNKNOWN = range(3)
_REASONS = {
    edges.Reason.UNKNOWN: enums.DropReason.UNKNOWN, edges.Reason.POLICY: enums.DropReason.POLICY,
    edges.Reason.ROUTING: enums.DropReason.ROUTING,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is left out of the ledger, because it is the network's own machinery.

    Attributes:
        overlay_ports: UDP destination ports of the nodes' tunnels (4789 is VXLAN's, RFC 7348).
    """

    overlay_ports: tuple[int, ...] = (4789,)


class Join:
    """Turns what the sources read into flow batches of stage ``JOIN``.

    Args:
        node: Name of the node.
        known: Codes of prefixes and traces.
        since: When this collector began, in ns since 1970.
        scope: What to leave out.
    """

    def __init__(self, node: str, known: traces.Traces, since: int, scope: Scope) -> None:
        self._node = node
        self._traces = known
        self._scope = scope
        self._table = table.Table(since)
        self._log = attempts.Log(known)
        self._unmatched = attempts.Unmatched()
        self.vanished = 0
        self.begun = 0
        self.offloaded = False
        self._logged: list[asof.Keys] = []

    @property
    def log(self) -> attempts.Log:
        """Where logged packets go as they arrive."""
        return self._log

    @property
    def living(self) -> int:
        """How many connections are being followed."""
        return len(self._table)

    @property
    def given_up(self) -> int:
        """Allowed attempts since the start whose connection never showed."""
        return self._unmatched.given_up

    def flows(
        self, connections: decode.Connections, until: int, dropped: edges.Edges = edges.NOTHING
    ) -> pa.RecordBatch:
        """The flows of one interval.

        Args:
            connections: All living and newly ended ones, each once, sorted by key.
            until: The interval's end in ns since 1970: packets logged later stay for the next one.
            dropped: What the probe has found.
        """
        changes = self._table.update(connections, until)
        self.vanished += changes.vanished
        self.begun = int(changes.started.sum())
        self.offloaded = bool((connections["status"] & decode.OFFLOADED).any())
        seen = self._log.take(until)
        denied = self._log.settle(seen[seen["denied"]])
        self._log.forget(until)
        codes = self._attribute(changes, self._unmatched.with_new(seen[~seen["denied"]]), connections, until)
        rows = [
            self._connection_rows(changes, codes, until), self._denied_rows(denied, until),
            self._dropped_rows(self._untold(denied, dropped), until),
        ]  # fmt: skip
        return (
            pa.Table.from_batches(rows).combine_chunks().to_batches()[0] if any(map(len, rows)) else rows[0]
        )

    def _untold(self, denied: attempts.Attempts, dropped: edges.Edges) -> edges.Edges:
        """Of what the probe has found, that which no rule has logged: a rule's own word is better."""
        self._logged = [*self._logged[-_PATIENCE:], _edge_keys(denied)]
        return dropped[~np.isin(_edge_keys(dropped), np.concatenate(self._logged))]

    def _attribute(
        self,
        changes: table.Changes,
        candidates: attempts.Attempts,
        connections: decode.Connections,
        until: int,
    ) -> traces.Codes:
        """The trace of each change: the one it had, or that of the latest attempt before it began."""
        entries = changes.entries
        index = asof.AsOf(candidates["tuple"], candidates["first"])
        began = np.where(entries["started"] > 0, entries["started"], until)
        found = index.find(np.ascontiguousarray(entries["tuple"]), began)
        fresh = (changes.traces == 0) & (found >= 0)
        codes = changes.traces.copy()
        codes[fresh] = candidates["trace"][found[fresh]]
        self._table.remember(entries["key"][fresh], codes[fresh])
        alive = np.isin(candidates["tuple"], connections["tuple"])
        self._unmatched.keep(~alive, _PATIENCE)
        return codes

    def _connection_rows(self, changes: table.Changes, codes: traces.Codes, until: int) -> pa.RecordBatch:
        wanted = ~self._is_machinery(changes.entries)
        entries, codes = changes.entries[wanted], codes[wanted]
        started, ended = changes.started[wanted], changes.ended[wanted]
        count = len(entries)
        stopped = np.where(entries["destroyed"] & (entries["stopped"] > 0), entries["stopped"], until)
        verdict = self._verdicts(entries, codes)
        values = {
            **_addresses(entries, "src", "dst", "service", "snat"),
            **_numbers(entries, "src_port", "dst_port", "service_port", "snat_port", "protocol", "icmp_type",
                       "icmp_code", *table.COUNTERS),
            "time": _times(np.full(count, until)),
            "started": _times(np.where(entries["started"] > 0, entries["started"], until)),
            "ended": _times(np.where(ended, stopped, 0)),
            "connections_started": _counts(started),
            "connections_ended": _counts(ended),
            "tcp_state": columns.text(enums.TCP_STATES, decode.tcp_states(entries)),
            "verdict": columns.text(_VERDICTS, verdict),
            **self._trace_columns(codes),
        }  # fmt: skip
        return self._batch(values, count)

    def _verdicts(self, entries: decode.Connections, codes: traces.Codes) -> npt.NDArray[np.int64]:
        """Allowed where somebody answered, or where this node's own ingress policy let it in."""
        let_in = self._traces.flags("ingress_action", enums.Action.ALLOW.value)[codes]
        # a refusal (RST) ends an entry before the kernel sets SEEN_REPLY on it, but it is counted
        answered = ((entries["status"] & decode.SEEN_REPLY) > 0) | (entries["reverse_packets"] > 0)
        return np.where(answered | let_in, _ALLOWED, _UNKNOWN)

    def _denied_rows(self, denied: attempts.Attempts, until: int) -> pa.RecordBatch:
        count = len(denied)
        values = {
            **_addresses(denied, "src", "dst"),
            **_numbers(denied, "src_port", "dst_port", "protocol", "icmp_type", "icmp_code"),
            "time": _times(np.full(count, until)),
            "started": _times(denied["first"]),
            "forward_packets": _counts(denied["packets"]),
            "forward_bytes": _counts(denied["bytes"]),
            "connections_started": _counts(denied["started"]),
            "verdict": columns.text(_VERDICTS, np.full(count, _DENIED)),
            **self._trace_columns(denied["trace"]),
        }  # fmt: skip
        return self._batch(values, count)

    def _dropped_rows(self, dropped: edges.Edges, until: int) -> pa.RecordBatch:
        """One row for each edge: how many attempts there were, the probe does not tell."""
        count = len(dropped)
        by_policy = dropped["reason"] == edges.Reason.POLICY
        values = {
            **_addresses(dropped, "src", "dst", "service"),
            **_numbers(dropped, "dst_port", "service_port", "protocol", "icmp_type", "icmp_code"),
            "time": _times(np.full(count, until)),
            "started": _times(dropped["first"]),
            "forward_packets": _counts(dropped["packets"]),
            "forward_bytes": _counts(dropped["bytes"]),
            "connections_started": _counts(np.ones(count)),
            "verdict": columns.text(_VERDICTS, np.where(by_policy, _DENIED, _UNKNOWN)),
            "attribution": columns.text([enums.Attribution.PROBE.value], np.zeros(count, np.int64)),
            "drop_reason": columns.text([_REASONS[one].value for one in edges.Reason], dropped["reason"]),
        }  # fmt: skip
        return self._batch(values, count)

    def _trace_columns(self, codes: traces.Codes) -> dict[str, pa.Array[Any]]:
        names = {"policy_trace": "text"}
        wanted = ("egress_action", "ingress_action", "policy_trace", "deciding_rule", "attribution")
        return {name: self._traces.column(codes, names.get(name, name)) for name in wanted}

    def _batch(self, values: dict[str, pa.Array[Any]], count: int) -> pa.RecordBatch:
        """Rows of a flow batch; a column that is not given has nothing to say."""
        values["node"] = columns.text([self._node], np.zeros(count, np.int64))
        schema = columns.schema(columns.Stage.JOIN)
        arrays = [values[f.name] if f.name in values else columns.blank(f.type, count) for f in schema]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _is_machinery(self, entries: decode.Connections) -> npt.NDArray[np.bool_]:
        """Loopback, and the envelopes that overlay networks put around other traffic."""
        src, dst = entries["src"], entries["dst"]
        mapped = (dst[:, 10] == 0xFF) & (dst[:, :10] == 0).all(axis=1)
        loopback = mapped & ((dst[:, 12] == _LOOPBACK_V4) | (src[:, 12] == _LOOPBACK_V4))
        loopback |= (dst == np.frombuffer(_LOOPBACK_V6, np.uint8)).all(axis=1)
        envelope = (entries["protocol"] == _UDP) & np.isin(entries["dst_port"], self._scope.overlay_ports)
        machinery: npt.NDArray[np.bool_] = loopback | envelope | (entries["protocol"] == _IPIP)
        return machinery


def _edge_keys(rows: attempts.Attempts | edges.Edges) -> asof.Keys:
    """One key for who wanted what of whom, whatever the source port."""
    src, dst = (np.ascontiguousarray(rows[side]).view(np.uint64) for side in ("src", "dst"))
    names = ("dst_port", "protocol", "icmp_type", "icmp_code")
    return asof.mix(*src.T, *dst.T, *(rows[name] for name in names))


def _addresses(rows: npt.NDArray[np.void], *names: str) -> dict[str, pa.Array[Any]]:
    return {f"{name}_address": columns.array(rows[name], columns.ADDRESS) for name in names}


def _numbers(rows: npt.NDArray[np.void], *names: str) -> dict[str, pa.Array[Any]]:
    return {name: columns.array(rows[name], columns.BY_NAME[name].arrow) for name in names}


def _times(nanoseconds: npt.NDArray[np.int64]) -> pa.Array[Any]:
    return columns.array(nanoseconds.astype(np.int64), columns.TIME)


def _counts(numbers: npt.NDArray[Any]) -> pa.Array[Any]:
    return columns.array(numbers.astype(np.uint64), pa.uint64())
