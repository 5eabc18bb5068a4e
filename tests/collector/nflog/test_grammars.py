"""Which grammars are asked, and in which order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from collector.nflog import grammars
from model import errors, prefixgrammar

PATTERN = r"^(?P<action>ALLOW|DROP)? ?(?P<namespace>[^/ ]+)/(?P<policy>[^ ]+)"


@pytest.mark.parametrize(
    ("names", "pattern", "chosen"),
    [
        pytest.param((), "", [], id="none"),
        pytest.param(("calico",), "", ["calico"], id="one"),
        pytest.param(("kube-router", "calico"), "", ["kube-router", "calico"], id="two in their order"),
        pytest.param((), PATTERN, ["pattern"], id="a pattern alone"),
        pytest.param(("calico",), PATTERN, ["pattern", "calico"], id="a pattern first"),
    ],
)
def test_order(names: tuple[str, ...], pattern: str, chosen: list[str]) -> None:
    assert [one.name for one in grammars.chosen(names, pattern)] == chosen


@pytest.mark.parametrize(
    ("prefix", "rendered"),
    [
        pytest.param("DROP shop/web", "ingress||custom:shop/web|deny|-1", id="pattern, denied"),
        pytest.param("ALLOW shop/web", "ingress||custom:shop/web|allow|-1", id="pattern, allowed"),
        pytest.param("shop/web", "ingress||custom:shop/web|deny|-1", id="pattern, no action"),
        pytest.param("DPE|default", "egress|default|end-of-tier|deny|-1", id="not the pattern's"),
    ],
)  # fmt: skip
def test_first_that_knows_a_prefix_reads_it(prefix: str, rendered: str) -> None:
    hit = prefixgrammar.parse_prefix(prefix, grammars.chosen(("calico",), PATTERN))
    assert hit is not None
    assert hit.render() == rendered


@pytest.mark.parametrize(
    ("names", "pattern", "said"),
    [
        pytest.param(("cilium",), "", "there is no NFLOG grammar 'cilium'; there are", id="unknown name"),
        pytest.param(("calico",), "(", r"NFLOG pattern '\('", id="wrong pattern"),
        pytest.param((), "(?P<pod>x)", "there is no group 'pod'", id="unknown group"),
    ],
)  # fmt: skip
def test_mistake_is_named(names: tuple[str, ...], pattern: str, said: str) -> None:
    with pytest.raises(errors.SetupError, match=said):
        grammars.chosen(names, pattern)


def test_arrow_s_functions_are_loaded_for_a_pattern_only() -> None:
    script = (
        "import sys; from collector.nflog import grammars\n"
        "for pattern in '', 'x':\n"
        "    grammars.chosen(('calico', 'kube-router'), pattern)\n"
        "    print('pyarrow.compute' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
