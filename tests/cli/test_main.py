"""The command line: its flags, its exit codes, and what it says of a mistake."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from cli import main

Command = Callable[..., tuple[object, str, str]]
SETTINGS = [
    pytest.param("--feed", "enrich.feed", "store", "store", id="feed"),
    pytest.param("--manifests", "enrich.manifests", "/m", "/m", id="manifests"),
    pytest.param("--kubeconfig", "enrich.kubeconfig", "/k", "/k", id="kubeconfig"),
    pytest.param("--context", "enrich.context", "c", "c", id="context"),
    pytest.param("--store", "store.url", "http://h:1", "http://h:1", id="store"),
    pytest.param("--gateway-port", "gateway.port", "1", 1, id="gateway port"),
    pytest.param("--app-port", "app.port", "2", 2, id="app port"),
    pytest.param("--metrics-port", "metrics.port", "0", 0, id="metrics port"),
    pytest.param("--node", "collector.node", "n", "n", id="node"),
    pytest.param("--netns", "collector.netns", "/n", "/n", id="network namespace"),
    pytest.param("--interval", "collector.interval_seconds", "0.5", 0.5, id="interval"),
    pytest.param("--source", "collector.sources", "probe", ["probe"], id="sources"),
    pytest.param("--nflog-groups", "collector.nflog_groups", "100,101", [100, 101], id="NFLOG groups"),
    pytest.param(
        "--nflog-grammars",
        "collector.nflog_grammars",
        "calico,kube-router",
        ["calico", "kube-router"],
        id="NFLOG grammars",
    ),
    pytest.param("--nflog-pattern", "collector.nflog_pattern", "^x", "^x", id="NFLOG pattern"),
    pytest.param("--zone", "collector.conntrack_zone", "7", 7, id="conntrack zone"),
    pytest.param("--mark", "collector.conntrack_mark", "1/3", "1/3", id="conntrack mark"),
    pytest.param("--goldmane", "goldmane.address", "h:1", "h:1", id="Goldmane"),
    pytest.param("--goldmane-secret", "goldmane.secret", "n/s", "n/s", id="Goldmane's secret"),
    pytest.param("--goldmane-ca-config-map", "goldmane.ca_config_map", "n/m", "n/m", id="its ConfigMap"),
    pytest.param("--goldmane-cert", "goldmane.certificate", "/c", "/c", id="certificate"),
    pytest.param("--goldmane-key", "goldmane.key", "/k", "/k", id="key"),
    pytest.param("--goldmane-ca", "goldmane.ca", "/a", "/a", id="authorities"),
    pytest.param("--goldmane-server-name", "goldmane.server_name", "s", "s", id="server name"),
]


@pytest.mark.parametrize(("flag", "path", "text", "value"), SETTINGS)
def test_flag_stands_for_its_setting(
    command: Command, flag: str, path: str, text: str, value: object
) -> None:
    code, out, _ = command("config", flag, text, "-o", "json")
    changed = {row["setting"]: (row["value"], row["origin"]) for row in json.loads(out)}
    assert (code, changed[path]) == (0, (value, "flag"))


def test_every_flag_of_a_setting_is_tested() -> None:
    assert [case.values[:2] for case in SETTINGS] == [item[:2] for item in main._SETTINGS]


def test_config_shows_no_password(command: Command) -> None:
    for form in ("table", "json"):
        code, out, _ = command("config", "--store", "clickhouse://me:hunter2@host/db", "-o", form)
        assert (code, "hunter2" in out, "clickhouse://me:***@host/db" in out) == (0, False, True)


def test_config_says_where_values_come_from(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "flowledger.toml"
    file.write_text("[gateway]\nport = 1\nhost = '::1'\n[app]\nport = 1\n")
    monkeypatch.setenv("FLOWLEDGER_APP__PORT", "2")
    code, out, err = command("config", "--config", str(file), "--gateway-port", "3")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    for line in (
        "gateway.port = 3  (flag)",
        f"gateway.host = '::1'  ({file})",
        "metrics.port = 9478  (default)",
        "app.port = 2  (FLOWLEDGER_APP__PORT)",
    ):
        assert line in lines
        assert lines[lines.index(line) + 1].startswith("    ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["config", "--nflog-groups", "a"], "collector.nflog_groups must be a list", id="list"),
        pytest.param(["config", "--config", "/nowhere"], "cannot read settings from /nowhere", id="file"),
        pytest.param(["flows", "--since", "5y"], "'5y' is no span of time", id="span"),
        pytest.param(["flows", "--ledger", "ftp://x"], "the store 'ftp://x' is not one of", id="store"),
        pytest.param(["flows", "--ledger", "http://127.0.0.1:1"], "no ledger answers at", id="no ledger"),
        pytest.param(["demo", "--manifests", "/nowhere"], "no manifests at /nowhere", id="demo's manifests"),
        pytest.param(["up", "--manifests", "/nowhere"], "no manifests at /nowhere", id="up's manifests"),
        pytest.param(["up", "--netns", "/nowhere"], "cannot enter network namespace", id="namespace"),
    ],
)  # fmt: skip
def test_mistake_is_one_line(command: Command, words: list[str], said: str) -> None:
    code, out, err = command(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert said in err


def test_mistake_in_a_filter_is_pointed_at(command: Command) -> None:
    code, out, err = command("flows", "verdict = denied and colour = red")
    assert (code, out) == (2, "")
    first, text, mark = err.splitlines()
    assert first.startswith("error: filter: expected a field")
    assert text[mark.index("^") :] == "colour = red"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["fly"], "No such command 'fly'.", id="command"),
        pytest.param(["flows", "--loud"], "No such option", id="flag"),
        pytest.param(["flows", "--limit", "0"], "'--limit': 0 is not in the range", id="limit"),
        pytest.param(["flows", "-o", "xml"], "'xml' is not one of 'table', 'json'", id="format"),
        pytest.param(["flows", "a", "b"], "Got unexpected extra argument", id="second filter"),
        pytest.param(["up", "--gateway-port", "65536"], "65536 is not in the range", id="port"),
        pytest.param(["collect", "--interval", "0"], "'--interval': 0.0 is not in the range", id="interval"),
        pytest.param(["demo", "--seconds", "0"], "'--seconds': 0.0 is not in the range", id="seconds"),
        pytest.param(["reference", "nothing"], "'nothing' is not one of", id="page"),
    ],
)
def test_wrong_word_is_named_with_usage(command: Command, words: list[str], said: str) -> None:
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")
    last = err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert said in last


@pytest.mark.parametrize("words", [[name] for name in main.cli.commands] + [[]], ids=" ".join)
def test_help_is_on_standard_output(command: Command, words: list[str]) -> None:
    code, out, err = command(*words, "-h")
    assert (code, err) == (0, "")
    assert re.match(rf"Usage: .*{' '.join(['flowledger', *words])} \[OPTIONS\]", out)


def test_version_is_the_distribution_s(command: Command) -> None:
    code, out, _ = command("--version")
    assert code == 0
    assert out.endswith(f"flowledger, version {importlib.metadata.version('flowledger')}\n")


@pytest.mark.parametrize(
    ("words", "level"), [([], logging.INFO), (["-v"], logging.DEBUG)], ids=["plain", "verbose"]
)
def test_verbose_says_more_in_the_log(command: Command, words: list[str], level: int) -> None:
    assert command(*words, "config")[0] == 0
    assert logging.getLogger().level == level


def test_reader_that_left_gets_no_noise(url: str) -> None:
    """As ``| head`` does; Python's own flush at the very end must not complain either."""
    reading, writing = os.pipe()
    os.close(reading)
    root = pathlib.Path(__file__).parents[2]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "flows", "--ledger", url, "-o", "json"], stdout=writing,
        stderr=subprocess.PIPE, env=buffered, cwd=root, timeout=20, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
