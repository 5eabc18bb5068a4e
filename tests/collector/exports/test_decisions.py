"""What policy hits come to."""

from collector.exports import decisions
from model import enums, policyhit

EGRESS = policyhit.parse("egress|default|knp:shop/web|allow|0")
INGRESS = policyhit.parse("ingress|default|knp:shop/cart|deny|1")


def test_last_decision_decides():
    assert decisions.columns((EGRESS, INGRESS), enums.Attribution.IMPORTED) == {
        "policy_trace": f"{EGRESS.render()} {INGRESS.render()}", "egress_action": "allow",
        "ingress_action": "deny", "deciding_rule": INGRESS.render(), "attribution": "imported",
    }  # fmt: skip


def test_without_hits_nobody_has_told():
    found = decisions.columns((), enums.Attribution.FELIX)
    assert set(found.values()) == {"", "none"}
