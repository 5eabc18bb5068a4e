"""What kube-proxy does on a node: services' addresses become pods', and pods get out under the node's own."""

from __future__ import annotations

from collections.abc import Iterator

from lab import controlplane
from model import cluster

_TABLE = "services"
_FAMILIES = ("ip", "ip6")


def render(state: cluster.Cluster, node: str) -> str:
    """The nftables script of one node; it replaces the rules that were there, at once, and keeps the chains.

    Load-balancer addresses go to the pods of this node alone, as with ``externalTrafficPolicy: Local``, so
    that the client's address stays.
    """
    rules = "\n".join(f"    {rule}" for rule in _destination_rules(state, node))
    return f"""
add table inet {_TABLE}
flush table inet {_TABLE}
table inet {_TABLE} {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{rules}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {controlplane.POD_NETWORKS[0]} ip daddr != {{ {_inside(0)} }} masquerade
    ip6 saddr {controlplane.POD_NETWORKS[1]} ip6 daddr != {{ {_inside(1)} }} masquerade
  }}
  # The overlay's envelopes need no entry in conntrack.
  chain raw-prerouting {{
    type filter hook prerouting priority raw; policy accept;
    udp dport 4789 notrack
  }}
  chain raw-output {{
    type filter hook output priority raw; policy accept;
    udp dport 4789 notrack
  }}
}}
"""


def _inside(family: int) -> str:
    return f"{controlplane.POD_NETWORKS[family]}, {controlplane.NODE_NETWORKS[family]}"


def _destination_rules(state: cluster.Cluster, node: str) -> Iterator[str]:
    for service in state.services:
        backends = [p for p in state.pods if _selects(service, p)]
        for port in service.ports:
            for address in service.addresses:
                local = not address.startswith(("10.96.", "fd00:10:96:"))
                family = int(":" in address)
                targets = [
                    target
                    for pod in backends
                    if (pod.node == node or not local) and (target := _target(pod, port, family))
                ]
                if targets:
                    yield _rule(_FAMILIES[family], address, port, targets)


def _selects(service: cluster.Service, pod: cluster.Pod) -> bool:
    return pod.namespace == service.namespace and service.selector.items() <= pod.labels.items()


def _target(pod: cluster.Pod, port: cluster.ServicePort, family: int) -> str:
    """Address and port of a pod that answers for a service port; empty if it has no such port."""
    if isinstance(port.target, int):
        return f"{pod.addresses[family]} . {port.target}"
    named = (p.number for p in pod.ports if p.name == port.target and p.protocol == port.protocol)
    number = next(named, None)
    return f"{pod.addresses[family]} . {number}" if number else ""


def _rule(family: str, address: str, port: cluster.ServicePort, targets: list[str]) -> str:
    choices = ", ".join(f"{i} : {target}" for i, target in enumerate(targets))
    return (
        f"{family} daddr {address} {port.protocol.name.lower()} dport {port.number} "
        f"dnat {family} to numgen random mod {len(targets)} map {{ {choices} }}"
    )
