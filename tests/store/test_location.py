from __future__ import annotations

import pathlib

import pytest

from model import errors
from store import location

PORTS = (9000, 9440)


def _parse(url: str, **environment: str) -> location.Location:
    return location.parse(url, PORTS, environment=environment)


def test_plain_url_means_clickhouse_s_defaults() -> None:
    at = _parse("clickhouse://ledger")
    assert at == location.Location(
        scheme="clickhouse",
        hosts=(("ledger", 9000),),
        user="default",
        password="",
        database="",
        tls=None,
        connect_timeout=10.0,
        timeout=60.0,
    )


def test_all_parts_are_read() -> None:
    at = _parse(
        "clickhouse://me:p%2Fa%3As%40s@one:1,[2001:db8::1],three/flows?secure=1&ca=/ca.pem&cert=/c.pem&key=/k.pem"
        "&server_name=ledger.example&connect_timeout=0.5&timeout=7"
    )
    assert at.hosts == (("one", 1), ("2001:db8::1", 9440), ("three", 9440))
    assert (at.user, at.password, at.database) == ("me", "p/a:s@s", "flows")
    assert at.tls == location.Tls(ca="/ca.pem", cert="/c.pem", key="/k.pem", server_name="ledger.example")
    assert (at.connect_timeout, at.timeout) == (0.5, 7.0)
    assert str(at) == "clickhouse://one:1,[2001:db8::1]:9440,three:9440/flows"


def test_cluster_is_one_or_none() -> None:
    assert (_parse("clickhouse://h").cluster, _parse("clickhouse://h").replicated) == ("", False)
    at = _parse("clickhouse://h?cluster=flows&replicated=1")
    assert (at.cluster, at.replicated) == ("flows", True)


@pytest.mark.parametrize(
    ("url", "hosts", "database", "moved"),
    [
        ("clickhouse://a,b:1/d?cluster=c", [("a", 9000)], "e", "clickhouse://a:9000/e?cluster=c"),
        ("http://u:p%2Fa@a/d", [("b", 1), ("::1", 2)], "", "http://u:p%2Fa@b:1,[::1]:2"),
        ("clickhouse://a", [("b", 1)], "odd name", "clickhouse://b:1/odd%20name"),
    ],
)
def test_moved_url_keeps_the_log_in_and_options(
    url: str, hosts: list[tuple[str, int]], database: str, moved: str
) -> None:
    assert location.moved(url, hosts, database) == moved
    assert _parse(moved).hosts == tuple(hosts)
    assert _parse(moved).password == _parse(url).password


def test_https_is_secure_by_itself() -> None:
    assert _parse("https://ledger").tls == location.Tls()
    assert _parse("https://ledger").hosts == (("ledger", 9440),)


def test_password_stands_in_a_file_or_a_variable(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    assert _parse(f"clickhouse://u@h?password_file={tmp_path}/secret").password == "hunter2"
    assert _parse("clickhouse://u@h?password_env=SECRET", SECRET="hunter3").password == "hunter3"


def test_password_is_never_shown() -> None:
    at = _parse("clickhouse://u:hunter2@h")
    assert "hunter2" not in f"{at} {at!r}"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("clickhouse://", "no host", id="no host"),
        pytest.param("clickhouse:///db", "no host", id="database alone"),
        pytest.param("clickhouse://h,,i", "no host", id="empty host among others"),
        pytest.param("clickhouse://h:x", "host:port", id="port in letters"),
        pytest.param("clickhouse://h:70000", "host:port", id="port too high"),
        pytest.param("clickhouse://[::1", "no URL", id="open bracket"),
        pytest.param("clickhouse://h/a/b", "one database", id="two databases"),
        pytest.param("clickhouse://h?compress=1", "no option 'compress'", id="unknown option"),
        pytest.param("clickhouse://h?ca", "no URL", id="option without a value"),
        pytest.param("clickhouse://h?secure=maybe", "1 or 0", id="neither secure nor not"),
        pytest.param("clickhouse://h?ca=/ca.pem", "needs secure=1", id="certificate without TLS"),
        pytest.param("clickhouse://h?secure=1&key=/k.pem", "key needs cert", id="key alone"),
        pytest.param("clickhouse://h?replicated=1", "needs cluster", id="replicas of no cluster"),
        pytest.param("clickhouse://h?cluster=c&replicated=2", "replicated is 1 or 0", id="two replicas"),
        pytest.param("clickhouse://h?timeout=0", "above 0", id="no time"),
        pytest.param("clickhouse://h?connect_timeout=inf", "above 0", id="all time"),
        pytest.param("clickhouse://h?timeout=soon", "above 0", id="time in words"),
        pytest.param("clickhouse://u@h?password_file=/nowhere", "/nowhere: No such file", id="no such file"),
        pytest.param("clickhouse://u@h?password_env=NOWHERE", "no variable NOWHERE", id="no such variable"),
        pytest.param("clickhouse://u:hunter2@h?password_env=PATH", "more than one way", id="two passwords"),
        pytest.param("clickhouse://u:hunter2/@h", "%2F", id="slash in a password"),
        pytest.param("clickhouse://u:hunter2?@h", "%3F", id="question mark in a password"),
        pytest.param("clickhouse://u:hunter2#@h", "%23", id="hash in a password"),
    ],
)
def test_mistake_is_named_without_the_password(url: str, says: str) -> None:
    with pytest.raises(errors.SetupError) as caught:
        _parse(url, PATH="/bin")
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["ca", "cert"])
def test_unusable_certificate_is_named(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    for file in ("x.pem", "nowhere.pem"):
        with pytest.raises(errors.SetupError, match=file):
            location.Tls(**{name: str(tmp_path / file)}).context()
