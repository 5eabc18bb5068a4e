"""Why a rule does not match, in words; and that there is a reason exactly where it does not."""

from __future__ import annotations

import ipaddress
import pathlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import naive
import worlds

from model import cluster, enums, manifest
from policy import objects, parse, reasons, selector, services, subjects

TCP, UDP, ICMP = enums.Protocol.TCP, enums.Protocol.UDP, enums.Protocol.ICMP


@given(st.integers(0, 10**9))
def test_there_is_a_reason_exactly_where_a_rule_does_not_match(seed: int) -> None:
    maker = worlds.Maker(seed)
    documents = [
        manifest.Document("f", i, body) for i, body in enumerate([*maker.cluster(), *maker.policies()])
    ]
    policies, found = parse.parse(documents), cluster.read(documents)
    model, behind = naive.Naive(policies, found), services.behind(found)
    every = subjects.endpoints(found)
    sets = every[len(model.pods) :]
    ends = [naive.End(i, net.network_address) for i, pod in enumerate(model.pods) for net in pod.nets]
    ends += [naive.End(None, ipaddress.ip_address(text)) for text in worlds.OUTSIDE]

    def end(one: naive.End) -> reasons.End:
        around = tuple(each for each in sets if any(one.address in net for net in each.nets))
        pod = None if one.pod is None else model.pods[one.pod]
        return reasons.End(pod.name if pod else str(one.address), one.address, pod, around)

    for policy in policies.everything():
        for rule in (*policy.ingress, *policy.egress):
            src, dst = maker.one(tuple(ends)), maker.one(tuple(ends))
            if src.address.version != dst.address.version:
                continue
            flow = naive.Flow(src, dst, maker.one((6, 17, 1)), maker.one((80, 1000)), maker.one(worlds.PORTS))
            asked = reasons.Connection(
                source=end(src), destination=end(dst), protocol=flow.protocol, source_port=flow.src_port,
                port=flow.dst_port, icmp=(flow.icmp_type, flow.icmp_code),
            )  # fmt: skip
            found_reasons = reasons.reasons(rule, asked, behind)
            assert (found_reasons == []) == model.matches(rule, flow), (rule, flow, found_reasons)


PORTS = (cluster.ContainerPort(name="http", number=8080, protocol=TCP),)
MANY = (objects.PortRange(1, 9), objects.PortRange(443, 443))
LABELS = {
    "app": "cart", selector.NAMESPACE_LABEL: "shop", "projectcalico.org/orchestrator": "k8s",
    "projectcalico.org/serviceaccount": "sa", "pcns.team": "red", "pcns.kubernetes.io/metadata.name": "shop",
}  # fmt: skip
CART = reasons.End(
    "shop/cart", ipaddress.ip_address("10.0.0.2"),
    subjects.Endpoint(
        kind=enums.EndpointKind.POD, namespace="shop", name="cart", labels=LABELS, nets=(), ports=PORTS
    ),
)  # fmt: skip
WORLD = reasons.End("203.0.113.9", ipaddress.ip_address("203.0.113.9"))
ASKED = reasons.Connection(source=CART, destination=WORLD, protocol=TCP, port=80, source_port=1000)
BACK = reasons.Connection(source=WORLD, destination=CART, protocol=TCP, port=80)


def _nets(*texts: str) -> tuple[objects.Network, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def _of(text: str) -> objects.Peer:
    return objects.Peer(members=selector.parse(text))


@pytest.mark.parametrize(
    ("rule", "asked", "sentence"),
    [
        ({"protocol": UDP}, ASKED, "it is for UDP, not for TCP"),
        ({"not_protocol": TCP}, ASKED, "it is for all but TCP"),
        ({"ip_version": 6}, ASKED, "it is for IPv6, not for IPv4"),
        ({"protocol": TCP, "icmp": objects.Icmp(type=3, code=1)}, ASKED,
         "it is for ICMP type 3 code 1, not for type 0"),
        ({"protocol": TCP, "not_icmp": objects.Icmp(type=0)}, ASKED,
         "it is for all ICMP messages but ICMP type 0"),
        ({"source": objects.Peer(nets=_nets("10.1.0.0/16", "10.2.0.0/16"))}, ASKED,
         "shop/cart is not in 10.1.0.0/16 or 10.2.0.0/16"),
        ({"source": objects.Peer(not_nets=_nets("10.0.0.0/24"))}, ASKED,
         "shop/cart is in 10.0.0.0/24, which the rule leaves out"),
        ({"source": objects.Peer(not_nets=_nets("::/1"))}, ASKED, "it says nothing of IPv4"),
        ({"source": _of("app == 'web'")}, ASKED, "shop/cart has app = cart, not web"),
        ({"source": _of("role == 'web'")}, ASKED, "shop/cart has no label role (it would have to be web)"),
        ({"source": _of("app in {'a', 'b'}")}, ASKED, "shop/cart has app = cart, not a or b"),
        ({"source": _of("app != 'cart'")}, ASKED, "shop/cart has app = cart, which the rule leaves out"),
        ({"source": _of("has(role)")}, ASKED, "shop/cart has no label role"),
        ({"source": _of("!has(app)")}, ASKED, "shop/cart has a label app"),
        ({"source": _of("app starts with 'w'")}, ASKED, 'shop/cart is not app starts with "w"'),
        ({"source": _of("app == 'a' || app == 'b'")}, ASKED,
         "shop/cart has app = cart, not a and has app = cart, not b"),
        ({"source": _of("projectcalico.org/namespace == 'bank'")}, ASKED,
         "shop/cart is in namespace shop, not bank"),
        ({"source": _of("pcns.kubernetes.io/metadata.name == 'bank'")}, ASKED,
         "shop/cart is in namespace shop, not bank"),
        ({"source": _of("pcns.team == 'blue'")}, ASKED,
         "shop/cart is in namespace shop, whose label team is red, not blue"),
        ({"source": _of("pcns.stage == 'prod'")}, ASKED,
         "shop/cart is in namespace shop, whose label stage is missing (not prod)"),
        ({"source": _of("projectcalico.org/serviceaccount == 'root'")}, ASKED,
         "shop/cart has service account sa, not root"),
        ({"source": _of("app == 'web'")}, BACK,
         "203.0.113.9 is no pod and in no network set; it is for app = web"),
        ({"source": objects.Peer(not_members=selector.parse("app == 'cart'"))}, ASKED,
         "it leaves out app = cart, and shop/cart is one of these"),
        ({"protocol": TCP, "destination": objects.Peer(ports=(objects.PortRange(443, 443),))}, ASKED,
         "it is for port 443, not 80"),
        ({"protocol": TCP, "destination": objects.Peer(ports=MANY)}, ASKED,
         "it is for ports 1 to 9 or 443, not 80"),
        ({"protocol": TCP, "destination": objects.Peer(port_names=("http",))}, BACK,
         "it is for port http, not 80 (http is TCP 8080 there)"),
        ({"protocol": TCP, "destination": objects.Peer(port_names=("dns",))}, BACK,
         "it is for port dns, not 80 (shop/cart has no port of that name)"),
        ({"protocol": TCP, "destination": objects.Peer(not_ports=(objects.PortRange(80, 80),))}, ASKED,
         "it leaves port 80 out"),
        ({"protocol": TCP, "source": objects.Peer(ports=(objects.PortRange(53, 53),))}, ASKED,
         "it is for source port 53, not 1000"),
        ({"source": objects.Peer(service=("shop", "db"))}, ASKED, "shop/cart is not behind service shop/db"),
        ({"destination": objects.Peer(service=("shop", "web"))}, BACK,
         "service shop/web does not go to port 80 there"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_reason_reads_as_one_would_say_it(
    rule: dict[str, object], asked: reasons.Connection, sentence: str
) -> None:
    behind = {("shop", "web"): frozenset({(ipaddress.ip_network("10.0.0.2"), 6, 8080)})}
    made = objects.Rule(action=objects.RuleAction.ALLOW, **rule)  # type: ignore[arg-type]
    assert [one.sentence for one in reasons.reasons(made, asked, behind)] == [sentence]


def test_what_is_in_a_network_set_is_said_so() -> None:
    office = subjects.Endpoint(
        kind=enums.EndpointKind.NETWORK_SET, namespace="", name="office", labels={"app": "office"}, nets=()
    )
    asked = reasons.Connection(
        source=reasons.End("192.0.2.1", ipaddress.ip_address("192.0.2.1"), None, (office,)), destination=CART,
        protocol=TCP, port=8080,
    )  # fmt: skip
    rule = objects.Rule(action=objects.RuleAction.ALLOW, source=_of("app == 'web'"))
    (reason,) = reasons.reasons(rule, asked, {})
    assert (reason.part, reason.sentence) == (
        "source", "192.0.2.1 is in the network set office, which has app = office, not web"
    )  # fmt: skip
