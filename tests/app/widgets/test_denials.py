from app.widgets import denials


def test_reason_tells_whose_policy_and_how_it_is_known():
    edge = {"direction": "egress", "attribution": "nflog"}
    assert denials.reason(edge) == "the source's policy · logged by the rule itself"
