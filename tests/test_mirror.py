"""Tests mirror the tree: nobody has to decide where a test goes, or wonder whether there is one."""

from __future__ import annotations

import pathlib
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]

ELSEWHERE = {
    "collector/goldmane/flows.py": "tests/collector/goldmane/test_updates.py",
    "policy/calico.py": "tests/policy/test_parse.py",
    "policy/fields.py": "tests/policy/test_parse.py",
    "policy/granted.py": "tests/policy/test_audit.py",
    "policy/kubernetes.py": "tests/policy/test_parse.py",
    "policy/objects.py": "tests/policy/test_parse.py",
    "app/views/__init__.py": "tests/app/test_main.py",
    "app/widgets/filterbar.py": "tests/app/views/test_flows.py",
    "app/widgets/ledger.py": "tests/app/test_main.py",
    "app/widgets/location.py": "tests/app/views/test_overview.py",
    "app/widgets/palette.py": "tests/app/test_launch.py",
    "app/widgets/states.py": "tests/app/views/test_flows.py",
    "app/widgets/timerange.py": "tests/app/views/test_overview.py",
    "lab/churn.py": "tests/e2e/test_churn.py",
    "lab/hosts.py": "tests/e2e/test_truth.py",
    "lab/main.py": "tests/e2e/test_truth.py",
    "lab/network.py": "tests/e2e/test_truth.py",
    "lab/traffic.py": "tests/e2e/test_truth.py",
    "lab/namespaces.py": "tests/lab/test_truth.py",
    "cli/bench/knowing.py": "tests/cli/bench/test_memory.py",
    "cli/bench/population.py": "tests/cli/bench/test_memory.py",
    "cli/naming.py": "tests/cli/test_recorder.py",
    "cli/up.py": "tests/e2e/test_demo.py",
    "enrich/sightings.py": "tests/enrich/test_history.py",
}
"""Modules without a test file of their own, and where they are tested: shared parts by what is made of them,
what needs the whole path end to end."""


def _tested_at(module: str) -> str:
    path = pathlib.PurePath(module)
    return str(pathlib.PurePath("tests", path.parent, f"test_{path.name}"))


def _modules() -> set[str]:
    """All modules with anything in them; a package's ``__init__`` has one sentence only."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {
        str(file.relative_to(ROOT))
        for file in files
        if file.name != "__init__.py" or len(file.read_text().splitlines()) > 1
    }


def test_every_module_is_tested_at_its_place() -> None:
    missing = {module for module in _modules() if not (ROOT / _tested_at(module)).exists()}
    assert missing - ELSEWHERE.keys() == set()


def test_table_is_up_to_date() -> None:
    for module, test in ELSEWHERE.items():
        assert (ROOT / module).exists(), f"{module} is gone"
        assert not (ROOT / _tested_at(module)).exists(), f"{module} has its own test now"
        assert (ROOT / test).exists(), f"{module}: {test} is gone"


def test_every_test_file_mirrors_a_module() -> None:
    """Outside of ``tests/e2e``, and of the tests of the tree itself at the top."""
    modules = _modules()
    tests = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / "tests" / package).rglob("test_*.py")
    }
    assert tests - {_tested_at(module) for module in modules} == set()
