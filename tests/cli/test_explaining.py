"""``policy explain``, from a shell."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from cli import explaining
from model import errors

Command = Callable[..., tuple[object, str, str]]
SHOP = pathlib.Path(__file__).parents[2] / "lab" / "manifests"
ASK = ("policy", "explain", "--manifests", str(SHOP))


def test_denied_connection_is_explained_with_what_would_admit_it(command: Command) -> None:
    code, printed, _ = command(*ASK, "shop/cart", "shop/postgres", "5432")
    said = " ".join(printed.split())
    assert code == 1
    assert said.startswith(
        "shop/cart to shop/postgres, TCP 5432: denied, both on its way out of shop/cart and on"
    )
    for sentence in (
        "The first egress rule of NetworkPolicy shop/cart comes nearest, but shop/postgres has app =",
        "To admit it: Add a rule to NetworkPolicy shop/cart, which selects 1 pod, that allows TCP port",
        "+ app: postgres",
    ):
        assert sentence in said


def test_allowed_connection_is_explained(command: Command) -> None:
    code, printed, _ = command(*ASK, "shop/web", "kube-system/coredns", "53", "--protocol", "UDP")
    assert (code, "allowed." in printed.splitlines()[0]) == (0, True)


def test_all_of_it_for_programs(command: Command) -> None:
    code, printed, _ = command(*ASK, "guest/intruder", "shop/cart", "80", "--family", "6", "-o", "json")
    told = json.loads(printed)
    assert (code, told["verdict"], told["egress"]["verdict"], told["ingress"]["verdict"]) == (
        1, "denied", "allowed", "denied"
    )  # fmt: skip
    assert told["ingress"]["trace"] == ["ingress|security|gnp:security.no-strangers|deny|0"]
    assert told["ingress"]["edit"]["manifest"]["spec"]["ingress"][0]["action"] == "Allow"


def test_nearest_rule_for_programs(command: Command) -> None:
    _, printed, _ = command(*ASK, "shop/cart", "shop/postgres", "5432", "-o", "json")
    nearest = json.loads(printed)["egress"]["nearest"]
    assert (nearest["policy"], nearest["rule"]) == ("knp/shop/cart", 0)
    assert [one["part"] for one in nearest["reasons"]] == ["destination", "port"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("shop/lost", "shop/cart", "80"), "no pod shop/lost with an address of its own or of its node, as "),
        (("shop/web", "shop/cart"), "needs a port"),
        (("shop/web", "shop/cart", "80", "--protocol", "QUIC"), "protocol: must be one of"),
        (("shop/web", "shop/cart", "80", "--at", "2026-01-01T00:00:00Z"), "--at is for the ledger"),
        (("shop/web", "shop/cart", "80", "--at", "yesterday"), "'yesterday' is no time"),
    ],
    ids=str,
)
def test_what_is_asked_wrongly_is_one_line(command: Command, words: tuple[str, ...], reason: str) -> None:
    code, printed, said = command(*ASK, *words)
    assert (code, printed, said.count("\n")) == (2, "", 1)
    assert reason in said


def test_moments() -> None:
    assert explaining.moment("") == 0
    assert explaining.moment("1970-01-01T00:00:01Z") == explaining.moment("1970-01-01 00:00:01") == 10**9
    assert explaining.moment("1970-01-01T01:00:00.5+01:00") == 500_000_000
    with pytest.raises(errors.SetupError, match="is no time"):
        explaining.moment("12")
