"""Flows as Felix and Goldmane tell them: columns, and the keys that they share.

They know workloads, ports, policies and volume, but neither an address nor a connection.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from model import enums, policyhit

FLOW = np.dtype([
    ("key", "i4"), ("started", "i8"), ("ended", "i8"), ("arrived", "i8"),
    ("forward_packets", "u8"), ("forward_bytes", "u8"), ("reverse_packets", "u8"), ("reverse_bytes", "u8"),
    ("connections_started", "u8"), ("connections_ended", "u8"), ("connections_living", "u8"),
])  # fmt: skip
"""One flow of one window. ``key`` is its key's number; times in ns since 1970: when the window began, when it
ended (Felix says the same for both: it lasts until the next one that it tells of), and when we heard of it.
Volume by direction of the connection, whichever end reported it."""

Flows = npt.NDArray[np.void]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a flow, as Calico names it.

    Attributes:
        kind: ``WorkloadEndpoint``, ``HostEndpoint``, ``NetworkSet`` or ``Network``; else what it was called.
        namespace: Its namespace; empty for none (Felix says ``-``).
        name: For a pod its name, or what its name was generated from and ``*`` (``web-6d9f5c-*``);
            the host of a host endpoint; the network set; ``pub`` or ``pvt`` for other addresses, where only
            RFC 1918's are private (Calico's felix/collector/types/endpoint/endpoint.go).
    """

    kind: str
    namespace: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What flows are told apart by.

    Attributes:
        src: Who began it.
        dst: Who was to answer.
        dst_port: After service translation; 0 where Felix knows none.
        protocol: IP protocol number.
        service_namespace: The service that was dialled; empty for none, as are its other parts.
        service: Its name.
        service_port_name: Its port's name.
        service_port: Its port.
        reporter: The end whose policies these are: ``SRC`` or ``DST``.
        action: What they came to: ``ALLOW`` or ``DENY``.
        enforced: The rules that were met, in order.
        pending: Those that would be met if the staged policies were in force.
    """

    src: End
    dst: End
    dst_port: int
    protocol: int
    service_namespace: str = ""
    service: str = ""
    service_port_name: str = ""
    service_port: int = 0
    reporter: enums.Reporter
    action: enums.Action
    enforced: tuple[policyhit.PolicyHit, ...] = ()
    pending: tuple[policyhit.PolicyHit, ...] = ()
