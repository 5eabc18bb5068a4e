from app.widgets import denials


def test_reason_tells_whose_policy_and_how_it_is_known():
    edge = {"direction": "egress", "attribution": "nflog"}
    assert denials.reason(edge) == "the source's policy · logged by the rule itself"


def test_reason_of_what_would_be_denied():
    edge = {"direction": "ingress", "pending_rule": "ingress|default|snp:shop/web|deny|0"}
    assert denials.reason(edge) == "the destination's policy · allowed so far"
