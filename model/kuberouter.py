"""NFLOG prefixes of kube-router, and of the fork of it that K3s enforces NetworkPolicies with.

A pod's chain asks the chain of each policy that selects the pod. Where none has accepted the packet, a rule
without any prefix logs it and the next one rejects it (cloudnativelabs/kube-router up to 2.9,
pkg/controllers/netpol/pod.go and npc_nftables.go). K3s also logs at the end of each policy's own chain, with
the policy in the prefix (k3s-io/kube-router up to 2.6.3-k3s1, pkg/controllers/netpol/policy.go). What is
accepted is never logged. No prefix has a direction.

All of it goes to group 100, and is a sample: after a burst of 10 packets each rule logs 10 a minute (K3s'
named ones as ``kube-router.io/netpol-nflog-limit`` and ``…-limit-burst`` of the policy say).
"""

from __future__ import annotations

import dataclasses

from model import enums, policyhit

NFLOG_GROUP = 100

_NAMED = "DROP by policy "
_OWNER_LENGTH = 48
"""Characters of a policy's namespace, slash and name that fit into the prefix."""
_HALF = _OWNER_LENGTH // 2


def refusal(
    namespace: str, name: str, direction: enums.Direction = policyhit.UNTOLD_DIRECTION
) -> policyhit.PolicyHit:
    """The hit of a packet that one policy did not accept.

    It is a pass, whatever the prefix says, as the pod's next policy may accept the packet yet. If none does,
    the hit without prefix follows, which denies.
    """
    return policyhit.PolicyHit(
        direction=direction, kind="knp", namespace=namespace, name=name, action=enums.Action.PASS
    )


def refusal_prefix(namespace: str, name: str) -> str:
    """The prefix of ``refusal``'s rule; the parts of a long name are cut (``safeJoin`` in K3s)."""
    if len(namespace) + len(name) >= _OWNER_LENGTH:
        if len(namespace) < _HALF:
            name = name[: _OWNER_LENGTH - 1 - len(namespace)]
        elif len(name) < _HALF:
            namespace = namespace[: _OWNER_LENGTH - 1 - len(name)]
        else:
            namespace, name = namespace[: _HALF - 1], name[: _HALF - 1]
    return f"{_NAMED}{namespace}/{name}"


def parse_prefix(prefix: str) -> policyhit.PolicyHit | None:
    """What a prefix says by itself; None if it is not kube-router's.

    A name that may have been cut gives kind ``unrecognised`` and the prefix as name: a piece of a name must
    not pass for a policy.
    """
    if not prefix:
        return policyhit.PolicyHit(
            direction=policyhit.UNTOLD_DIRECTION, kind=policyhit.DEFAULT_DENY, action=enums.Action.DENY
        )
    owner = prefix.removeprefix(_NAMED)
    namespace, _, name = owner.partition("/")
    if owner == prefix or not namespace or not name or "/" in name:
        return None
    hit = refusal(namespace, name)
    if len(owner) >= _OWNER_LENGTH or len(namespace) == len(name) == _HALF - 1:
        return dataclasses.replace(hit, kind=policyhit.UNRECOGNISED, namespace="", name=prefix)
    return hit
