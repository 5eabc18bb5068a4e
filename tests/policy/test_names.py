"""Names of suggested policies: possible ones, the same in every run, never two of one."""

from __future__ import annotations

import re

import pytest

from policy import names, record, stable

DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _group(name: str, kind: str = "Deployment", namespace: str = "shop") -> stable.Group:
    return stable.Group(namespace, (record.Workload(namespace, kind, name),), (("app", name),))


@pytest.mark.parametrize(
    ("groups", "taken", "expected"),
    [
        pytest.param([("web", "Deployment")], (), ["web"], id="its own"),
        pytest.param([("web", "Deployment"), ("web", "StatefulSet")], (),
                     ["web-deployment", "web-statefulset"], id="two kinds"),
        pytest.param([("web", "Deployment"), ("web", "StatefulSet"), ("web-deployment", "Deployment")], (),
                     ["web-deployment-2", "web-statefulset", "web-deployment"],
                     id="called as another with its kind"),
        pytest.param([("web", "Deployment"), ("web-2", "Deployment")], ("web",), ["web-3", "web-2"],
                     id="taken by a policy about others"),
        pytest.param([("A_b c", "X")], (), ["a-b-c"], id="no name for the API"),
        pytest.param([("---", "X")], (), ["workload"], id="nothing left"),
        pytest.param([("x" * 300, "X")], (), ["x" * 200], id="too long"),
        pytest.param([("web.v1", "X")], (), ["web.v1"], id="dot"),
    ],
)  # fmt: skip
def test_names(groups: list[tuple[str, str]], taken: tuple[str, ...], expected: list[str]) -> None:
    made = [_group(*one) for one in groups]
    found = names.Names(made)
    assert [found.free(one, taken) for one in made] == expected
    assert all(DNS.fullmatch(one) for one in expected)


def test_no_two_have_the_same_whatever_is_taken() -> None:
    made = [
        _group(name, kind) for name in ("a", "a-2", "a-3", "A", "a-job", "a-2-2")
        for kind in ("Job", "Deployment")
    ]  # fmt: skip
    for taken in ((), ("a",), ("a-2", "a-job"), ("a-job", "a-job-2", "a-deployment")):
        found = [names.Names(made).free(one, taken) for one in made]
        assert len(set(found)) == len(made)
        assert not set(found) & set(taken)


def test_namespaces_have_names_of_their_own() -> None:
    made = [_group("web"), _group("web", namespace="bank")]
    found = names.Names(made)
    assert [found.free(one, ()) for one in made] == ["web", "web"]
