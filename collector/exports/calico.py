"""What Calico's flow logs have in common, whoever keeps them: ends, policy hits, volume, verdict.

Facts from Calico's public sources: types of endpoints and ``pub``/``pvt`` in
felix/collector/types/endpoint/endpoint.go; *in* and *out* by the reporting endpoint in
felix/collector/stats.go; forms of a policy hit in goldmane/proto/methods.go.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from collector.exports import decisions, owners, rows
from collector.goldmane import flows
from model import enums, policyhit

POD, HOST, SET, NETWORK = "WorkloadEndpoint", "HostEndpoint", "NetworkSet", "Network"
PUBLIC, PRIVATE = "pub", "pvt"

_STAGED = "staged:"
_LEGACY = {"knp": "knp", "kanp": "kanp", "kbanp": "kbanp", "ossg": "ossg"}
_PROFILES = f"{policyhit.PROFILE_TIER}."
_SHORT_KINDS = frozenset({"np", "gnp", "knp", "kcnp", "kanp", "kbanp", "snp", "sgnp", "sknp", "pro", "ossg"})


def end(named: flows.End, labels: dict[str, str], **more: Any) -> rows.End:
    """An end as Calico names it, as the flow record does.

    Args:
        named: What it is called.
        labels: Its labels.
        more: What else is known: ``pod``, ``address``, ``port``, ``node``.
    """
    if named.kind == POD:
        name = more.pop("pod", "") or named.name
        kind, workload, pod = owners.owner(name, labels)
        if named.name.endswith("*") and not name.endswith("*"):  # the series tells more than the name
            kind, workload, _ = owners.owner(named.name, labels)
        return rows.End(kind=enums.EndpointKind.POD, namespace=named.namespace, workload_kind=kind,
                        workload=workload, pod=pod, labels=labels, **more)  # fmt: skip
    more.pop("pod", "")
    if named.kind == HOST:
        return rows.End(kind=enums.EndpointKind.NODE, workload=named.name, labels=labels, **more)
    if named.kind == NETWORK:
        private = named.name == PRIVATE
        kind_ = enums.EndpointKind.PRIVATE if private else enums.EndpointKind.PUBLIC
        return rows.End(kind=kind_, labels=labels, **more)
    return rows.End(kind=enums.EndpointKind.NETWORK_SET, namespace=named.namespace, workload=named.name,
                    labels=labels, **more)  # fmt: skip


def direction(reporter: enums.Reporter) -> enums.Direction:
    """Whose policies a report tells of."""
    return enums.Direction.EGRESS if reporter is enums.Reporter.SRC else enums.Direction.INGRESS


@functools.lru_cache(65_536)
def parse_hit(text: str, towards: enums.Direction) -> policyhit.PolicyHit:
    """A policy hit in the form that Calico gives it in flow logs.

    ``<place>|<tier>|<kind>:<namespace>/<name>|<action>|<rule>`` since 3.32; before, the third part was
    ``<namespace>/<tier>.<name>``, ``<namespace>/knp.default.<name>``, and ``staged:`` before the name of a
    staged policy. A rule of -1 is the end of the tier, and its policy the one that made it so.

    Raises:
        ValueError: If it is in no such form.
    """
    parts = text.split("|")
    if len(parts) not in (4, 5):
        raise ValueError(f"a policy hit has no four or five parts: {text[:80]!r}")
    tier, subject, action = parts[1:4]
    said = action.lower()
    rule = parts[4] if len(parts) == 5 else ""
    hit = policyhit.PolicyHit(
        direction=towards, tier=tier, kind=policyhit.UNRECOGNISED, name=subject,
        action=enums.Action(said if said in list(enums.Action) else "deny" if said == "eot" else said),
        rule=int(rule) if rule.lstrip("-").isdecimal() else policyhit.NO_RULE,
    )  # fmt: skip
    if rule == "-1" and tier != policyhit.PROFILE_TIER:
        return dataclasses.replace(hit, kind=policyhit.END_OF_TIER, name="")
    return _identified(hit, subject)


def _identified(hit: policyhit.PolicyHit, subject: str) -> policyhit.PolicyHit:
    kind, colon, owner = subject.partition(":")
    if colon and kind in _SHORT_KINDS:
        namespace, _, name = owner.rpartition("/")
        return dataclasses.replace(hit, kind=kind, namespace=namespace, name=name)
    if hit.tier == policyhit.PROFILE_TIER:
        name = subject.removeprefix(_PROFILES)
        if "NO_MATCH" in name:
            return dataclasses.replace(hit, kind=policyhit.NO_PROFILE, name="")
        return dataclasses.replace(hit, kind=policyhit.PROFILE, name=name)
    namespace, _, text = subject.rpartition("/")
    staged = _STAGED in text
    text = text.replace(_STAGED, "", 1)
    first, _, rest = text.partition(".")
    if first in _LEGACY:
        name = rest.partition(".")[2]
        kind = "sknp" if staged and first == "knp" else _LEGACY[first]
        return dataclasses.replace(hit, kind=kind, namespace=namespace, name=name)
    kind = ("s" if staged else "") + ("np" if namespace else "gnp")
    return dataclasses.replace(
        hit, kind=kind, namespace=namespace, name=text.removeprefix(f"{hit.tier}.")
    )  # fmt: skip


def policies(
    enforced: tuple[policyhit.PolicyHit, ...], pending: tuple[policyhit.PolicyHit, ...]
) -> dict[str, str]:
    """The columns that hits make: Felix's own word."""
    would = decisions.trace(pending)
    last = would.ingress_action or would.egress_action  # they are all of one direction
    verdict = {"allow": enums.Verdict.ALLOWED.value, "deny": enums.Verdict.DENIED.value}.get(last, "")
    told = decisions.columns(enforced, enums.Attribution.FELIX)
    return {**told, "pending_verdict": verdict, "pending_trace": would.text}


def volume(reporter: enums.Reporter, into: tuple[int, int], out: tuple[int, int]) -> dict[str, int]:
    """Packets and bytes by direction of the connection, from what came in and went out at the reporter."""
    forward, reverse = (out, into) if reporter is enums.Reporter.SRC else (into, out)
    return {
        "forward_packets": forward[0], "forward_bytes": forward[1],
        "reverse_packets": reverse[0], "reverse_bytes": reverse[1],
    }  # fmt: skip


def verdict(reporter: enums.Reporter, action: enums.Action, counted: dict[str, int]) -> enums.Verdict:
    """What became of it: what left its node and got nothing back may have been dropped further on."""
    if action is enums.Action.DENY:
        return enums.Verdict.DENIED
    sent, answered = (counted[f"{way}_packets"] for way in ("forward", "reverse"))
    unanswered = reporter is enums.Reporter.SRC and sent and not answered
    return enums.Verdict.UNKNOWN if unanswered else enums.Verdict.ALLOWED


def port(protocol: int, number: int) -> int:
    """A port, where the protocol has ports."""
    return number if protocol in (*enums.WITH_PORTS, enums.Protocol.UDPLITE) else 0
