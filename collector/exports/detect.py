"""Which exporter wrote an object: known by the names that only it uses."""

from __future__ import annotations

from typing import Any

from model import enums

_NAMES: tuple[tuple[enums.Origin, tuple[frozenset[str], ...]], ...] = (
    (enums.Origin.NETOBSERV, (
        frozenset({"SrcAddr", "DstAddr"}), frozenset({"TimeFlowEndMs"}), frozenset({"_RecordType"}),
    )),
    (enums.Origin.HUBBLE, (
        frozenset({"verdict", "IP"}), frozenset({"verdict", "l4"}), frozenset({"verdict", "event_type"}),
        frozenset({"verdict", "node_name"}), frozenset({"lost_events"}), frozenset({"node_status"}),
        frozenset({"trafficDirection"}), frozenset({"traffic_direction"}),
    )),
    (enums.Origin.CALICO_ENTERPRISE, (
        frozenset({"source_name_aggr"}), frozenset({"dest_name_aggr"}), frozenset({"num_flows_started"}),
        frozenset({"source_type", "dest_type", "action"}),
    )),
    (enums.Origin.GOLDMANE, (
        frozenset({"Key"}), frozenset({"key", "startTime"}), frozenset({"key", "start_time"}),
        frozenset({"source_name", "dest_name", "reporter", "policies"}),
    )),
)  # fmt: skip
"""Sets of names, any of which tells an exporter, in the order in which to look."""


def origin(flow: Any) -> enums.Origin | None:
    """Who wrote a flow; None if it is none that we know."""
    if not isinstance(flow, dict):
        return None
    for found, alternatives in _NAMES:
        if any(names <= flow.keys() for names in alternatives):
            return found
    return None
