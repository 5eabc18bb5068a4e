"""At which path a kind is."""

from __future__ import annotations

import pytest
from mirror import KINDS

from enrich.kubernetes import discovery
from model import errors

SETS = "networksets.projectcalico.org"
CLUSTER = "clusternetworkpolicies.policy.networking.k8s.io"


class Served:
    """An API server that has these resources, by ``group/version``."""

    def __init__(self, **served: str) -> None:
        self._served = {name: set(plurals.split()) for name, plurals in served.items()}

    def versions(self, group: str) -> tuple[str, ...]:
        if group in self._served:
            raise errors.ApiError("sorry", refusal=errors.Refusal.UNAVAILABLE)
        return tuple(n.rpartition("/")[2] for n in self._served if n.startswith(f"{group}/"))

    def resources(self, group: str, version: str) -> frozenset[str]:
        return frozenset(self._served[f"{group}/{version}"])


V3, CRD = "projectcalico.org/v3", "crd.projectcalico.org/v1"
ALPHA1, ALPHA2, FIRST = (f"policy.networking.k8s.io/{version}" for version in ("v1alpha1", "v1alpha2", "v1"))
PLURAL = "clusternetworkpolicies"


@pytest.mark.parametrize(
    ("key", "served", "path"),
    [
        pytest.param("pods", {}, "/api/v1/pods", id="core needs no asking"),
        pytest.param(SETS, {}, None, id="not served"),
        pytest.param(SETS, {CRD: "networksets"}, f"/apis/{CRD}/networksets", id="second best"),
        pytest.param(SETS, {CRD: "networksets", V3: "networksets"}, f"/apis/{V3}/networksets", id="best"),
        pytest.param(SETS, {CRD: "networksets", V3: "tiers"}, f"/apis/{CRD}/networksets", id="no such kind"),
        pytest.param(
            CLUSTER, {ALPHA2: PLURAL, FIRST: PLURAL}, f"/apis/{FIRST}/{PLURAL}", id="a later version",
        ),
        pytest.param(CLUSTER, {ALPHA1: PLURAL}, None, id="an earlier version"),
    ],
)  # fmt: skip
def test_place_is(key: str, served: dict[str, str], path: str | None) -> None:
    found = discovery.place(KINDS[key], Served(**served))
    assert (found and found.path) == path


def test_second_best_is_not_taken_while_the_best_cannot_say() -> None:
    with pytest.raises(errors.ApiError):
        discovery.place(KINDS[SETS], Served(**{"projectcalico.org": "", CRD: "networksets"}))


def test_versions_are_ordered_as_kubernetes_does() -> None:
    ordered = ["v2", "v1", "v1beta1", "v1alpha2", "v1alpha1", "strange"]
    assert sorted(sorted(ordered), key=discovery.age, reverse=True) == ordered
