"""One flow's whole story."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app.widgets import formats, rows, words
from model import enums, policyhit

_LABEL_WIDTH = 120

Facts = list[tuple[str, str]]
"""Labels of ours, each with a value from the ledger."""

_BADGES: dict[str, Literal["green", "red", "orange", "gray"]] = {
    enums.Verdict.ALLOWED.value: "green",
    enums.Verdict.DENIED.value: "red",
    enums.Verdict.UNKNOWN.value: "orange",
}


def show(flow: rows.Row) -> None:
    """Draw it."""
    with st.container(border=True, key="story"):
        _headline(flow)
        source, destination = st.columns(2, gap="large")
        _card(source, "Source", end(flow, "src"))
        _card(destination, "Destination", end(flow, "dst"))
        how, volume = st.columns(2, gap="large")
        _card(how, "Translation", translation(flow))
        _card(volume, "Volume in this interval", traffic(flow))
        policy, known = st.columns(2, gap="large")
        _trace(policy, flow)
        _card(known, "How this is known", provenance(flow))
        if flow["pending_trace"]:
            _card(st.container(), "If the staged policies were in force", pending(flow))


def end(flow: rows.Row, side: str) -> Facts:
    """Who one end was."""
    facts = [
        ("Kind", words.kind(flow[f"{side}_kind"])),
        ("Namespace", flow[f"{side}_namespace"]),
        ("Workload", f"{flow[f'{side}_workload_kind']} {flow[f'{side}_workload']}".strip()),
        ("Pod", flow[f"{side}_pod"]),
        ("Address", flow[f"{side}_address"]),
        ("Port", str(flow[f"{side}_port"] or "")),
    ]
    return [(label, value) for label, value in facts if value]


def translation(flow: rows.Row) -> Facts:
    """What the packets' addresses were changed from and to."""
    facts: Facts = []
    if flow["service"]:
        facts.append(
            ("Service", f"{flow['service_namespace']}/{flow['service']} {flow['service_port_name']}".strip())
        )
    if flow["service_address"]:
        facts.append(("Dialled", formats.socket(flow["service_address"], flow["service_port"])))
        facts.append(("Answered by", formats.socket(flow["dst_address"], flow["dst_port"])))
    if flow["snat_address"]:
        facts.append(("Source seen as", formats.socket(flow["snat_address"], flow["snat_port"])))
    return facts or [("None", "both ends saw the addresses above")]


def traffic(flow: rows.Row) -> Facts:
    """How much went each way."""
    facts = []
    for way, label, arrow in (("forward", "Sent", "→"), ("reverse", "Received", "←")):
        size, packets = formats.size(flow[f"{way}_bytes"]), formats.plural(flow[f"{way}_packets"], "packet")
        facts.append((label, f"{size} in {packets} {arrow}"))
    began, finished = flow["connections_started"], flow["connections_ended"]
    facts.append(
        (
            "Connection",
            f"{'began' if began else 'went on'}{' and ended' if finished else ''} in this interval",
        )
    )
    return [*facts, ("TCP state", flow["tcp_state"].replace("_", " "))] if flow["tcp_state"] else facts


def pending(flow: rows.Row) -> Facts:
    """What would happen tier by tier if the staged policies were in force, and what of it would be new."""
    change = words.change(flow["verdict"], flow["pending_verdict"])
    said = f"{flow['pending_verdict']}, as far as policies go"
    if change:
        said = f"{change}, and was {words.title(flow['verdict'])}"
    elif flow["pending_verdict"] == flow["verdict"]:
        said = f"{flow['verdict']}, as it was"
    return [*words.pending(flow["pending_trace"]), ("Verdict", said)]


def provenance(flow: rows.Row) -> Facts:
    """When it was and who says so."""
    facts = [
        ("Began", formats.moment(flow["started"])),
        ("Ended", formats.moment(flow["ended"])),
        ("Reported", formats.moment(flow["time"])),
        ("By node", f"{flow['node']}, {words.reporter(flow['reporter'])}"),
        ("Verdict", words.verdict(flow["verdict"])),
        ("Rule", words.attribution(flow["attribution"])),
    ]
    return [*facts, ("Recorded by", flow["origin"])] if flow["origin"] else facts


def _headline(flow: rows.Row) -> None:
    protocol = enums.protocol_name(flow["protocol"])
    with st.container(horizontal=True, vertical_alignment="center", key="story-headline"):
        st.badge(words.title(flow["verdict"]), color=_BADGES.get(flow["verdict"], "gray"))
        if change := words.change(flow["verdict"], flow["pending_verdict"]):
            st.badge(change, color=_BADGES.get(flow["pending_verdict"], "gray"), icon=":material/pending:")
        st.text(f"{flow['src']} → {flow['dst']}, {formats.port(flow['dst_port'], protocol)}")
    st.text(
        f"Decided by {words.rule(flow['deciding_rule'])}"
        if flow["deciding_rule"]
        else words.NO_RULE.capitalize()
    )
    if change:
        by = words.rule(policyhit.deciding(flow["pending_trace"]))
        st.text(f"With the staged policies in force it {change} by {by}")


def _card(place: st.delta_generator.DeltaGenerator, title: str, facts: Facts) -> None:
    with place.container(gap="xxsmall"):
        st.markdown(f"**{title}**")
        for label, value in facts:
            with st.container(horizontal=True, wrap=False, gap="small"):
                st.caption(label, width=_LABEL_WIDTH)
                st.text(value)


def _trace(place: st.delta_generator.DeltaGenerator, flow: rows.Row) -> None:
    facts = [
        (f"Hit {step}: {action}", rule)
        for step, (action, rule) in enumerate(words.trace(flow["policy_trace"]), 1)
    ]
    _card(place, "Policy trace", facts or [("None", "no policy hit was seen for this flow here")])
