"""The door to Goldmane: what is asked, and the sentence for each way in which it fails."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Callable

import goldmanelike
import pytest

from collector.goldmane import certificates, client
from model import errors

START = 1_700_000_010 // 15 * 15


def made(
    goldmane: goldmanelike.Goldmane, shown: certificates.Credentials, name: str = "", **more: int
) -> client.Client:
    return client.Client(goldmane.address, lambda: shown, name, **more)


def names(listed: client.Listed) -> list[str]:
    return sorted(one.flow.Key.source_name for one in listed.results)


def test_list_tells_of_one_window_at_a_time(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    for place, name in ((0, "a"), (15, "b"), (15, "c"), (30, "d")):
        goldmane.add(START + place, goldmanelike.key(name))
    goldmane.add(START + 15, goldmanelike.key("b"), 4)
    with made(goldmane, authority.client()).connect() as connection:
        first, second = connection.list(START, START + 30)
    assert (names(first), names(second)) == (["a"], ["b", "c"])
    counted = {one.flow.Key.source_name: one.flow.packets_in for one in second.results}
    assert counted == {"b": 5, "c": 1}
    assert {(one.start_time_lt - one.start_time_gte, one.page_size) for one in goldmane.asked} == {(15, 0)}


def test_answer_of_many_megabytes_is_one(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    """gRPC's own limit is 4 MiB."""
    long = "x" * 240
    for number in range(20_000):
        goldmane.add(START, goldmanelike.key(f"{long}{number}"))
    with made(goldmane, authority.client()).connect() as connection:
        listed = connection.window(START)
    assert len(listed.results) == 20_000
    assert sum(one.ByteSize() for one in listed.results) > 4 << 20
    assert [one.page_size for one in goldmane.asked] == [0]


def test_answer_that_is_too_large_is_paged(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    for number in range(1000):
        goldmane.add(START, goldmanelike.key(f"pod-{number}"))
    with made(goldmane, authority.client(), largest=20_000, page=100).connect() as connection:
        listed = connection.window(START)
    assert (len(set(names(listed))), listed.missing) == (1000, 0)
    pages = goldmane.asked[1:]
    assert [one.page for one in pages] == list(range(10))
    assert {one.sort_by[0].sort_by for one in pages} == {goldmanelike.messages.DestName}


def test_page_that_is_too_large_is_made_smaller(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    for number in range(300):
        goldmane.add(START, goldmanelike.key(f"pod-{number}"))
    with made(goldmane, authority.client(), largest=5000, page=250).connect() as connection:
        listed = connection.window(START)
    assert (len(set(names(listed))), listed.missing) == (300, 0)
    assert [one.page_size for one in goldmane.asked] == [0, 250] + [25] * 12


def test_flows_that_no_page_has_are_counted(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    for number in range(300):
        goldmane.add(START, goldmanelike.key(f"pod-{number}"))
    goldmane.unlisted = 2
    with made(goldmane, authority.client(), largest=20_000, page=100).connect() as connection:
        listed = connection.window(START)
    assert (len(listed.results), listed.missing) == (294, 6)


def test_stream_goes_on_until_it_is_cancelled(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    for place, name in ((0, "past"), (15, "a"), (30, "b")):
        goldmane.add(START + place, goldmanelike.key(name))
    goldmane.roll(START)
    goldmane.roll(START + 15)
    with made(goldmane, authority.client()).connect() as connection:
        stream = connection.stream(START + 15)
        told = iter(stream)
        assert next(told).flow.Key.source_name == "a"
        goldmane.roll(START + 30)
        assert next(told).flow.Key.source_name == "b"
        stream.cancel()
        assert list(told) == []


def test_certificates_are_read_at_each_connect(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority, tmp_path: pathlib.Path
) -> None:
    old = authority.client(since=-3 * goldmanelike.DAY, until=-2 * goldmanelike.DAY)
    paths = goldmanelike.write(tmp_path, old)
    served = client.Client(goldmane.address, lambda: certificates.read(*paths))
    with served.connect() as connection, pytest.raises(errors.GoldmaneError, match="expired"):
        connection.window(START)
    goldmanelike.write(tmp_path, authority.client())
    with served.connect() as connection:
        assert connection.window(START).results == []


def _expired(ours: goldmanelike.Authority) -> certificates.Credentials:
    return ours.client(since=-3 * goldmanelike.DAY, until=-2 * goldmanelike.DAY)


def _foreign(ours: goldmanelike.Authority) -> certificates.Credentials:
    return dataclasses.replace(goldmanelike.Authority("somebody").client(), authorities=ours.pem)


def _distrusting(ours: goldmanelike.Authority) -> certificates.Credentials:
    return dataclasses.replace(ours.client(), authorities=goldmanelike.Authority("somebody").pem)


def _missing(ours: goldmanelike.Authority) -> certificates.Credentials:
    return certificates.Credentials(certificate=b"", key=b"", authorities=ours.pem)


@pytest.mark.parametrize(
    ("shown", "name", "said"),
    [
        pytest.param(_expired, "", "our certificate is not accepted by it: .* expired, on ", id="expired"),
        pytest.param(_foreign, "", "our certificate is not accepted by it: .* operator", id="foreign"),
        pytest.param(
            _missing, "", "our certificate is not accepted by it: we have no certificate", id="missing"
        ),
        pytest.param(
            _distrusting,
            "",
            "its certificate is not accepted by us: none of the authorities",
            id="authority",
        ),
        pytest.param(
            goldmanelike.Authority.client,
            "else.where",
            "not accepted by us: it is not for the name else.where",
            id="name",
        ),
    ],
)
def test_certificate_that_is_not_accepted_is_a_sentence(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority,
    shown: Callable[[goldmanelike.Authority], certificates.Credentials], name: str, said: str,
) -> None:  # fmt: skip
    with made(goldmane, shown(authority), name).connect() as connection:
        with pytest.raises(errors.GoldmaneError, match=f"Goldmane at 127.0.0.1:.*{said}") as caught:
            connection.window(START)
        with pytest.raises(errors.GoldmaneError, match=said):
            list(connection.stream(START))
    assert "\n" not in str(caught.value)


def test_nobody_there_is_a_sentence(authority: goldmanelike.Authority) -> None:
    gone = goldmanelike.Goldmane(authority).start()
    gone.stop()
    refused = pytest.raises(errors.GoldmaneError, match="no connection: Connection refused")
    with made(gone, authority.client()).connect() as connection, refused:
        connection.window(START)


def test_server_that_is_no_goldmane_is_a_sentence(authority: goldmanelike.Authority) -> None:
    import concurrent.futures

    import grpc

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    certificate, private = authority.sign(goldmanelike.SERVER_NAME)
    shown = grpc.ssl_server_credentials([(private, certificate)], authority.pem, True)
    port = server.add_secure_port("127.0.0.1:0", shown)
    server.start()
    served = client.Client(f"127.0.0.1:{port}", authority.client)
    with served.connect() as connection, pytest.raises(errors.GoldmaneError, match=r"knows no Flows\.List"):
        connection.window(START)
    server.stop(0)


def test_answer_that_does_not_come_is_a_sentence(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    slow = client.Client(goldmane.address, authority.client, list_seconds=0.2)
    refused = pytest.raises(errors.GoldmaneError, match=r"has not answered after 0\.2 s")
    with goldmane.silent(), slow.connect() as connection, refused:
        connection.window(START)


def test_too_many_streams_are_told_from_other_errors(authority: goldmanelike.Authority) -> None:
    crowded = goldmanelike.Goldmane(authority, streams=0).start()
    refused = pytest.raises(errors.GoldmaneError, match="max number of streams")
    with made(crowded, authority.client()).connect() as connection, refused as caught:
        list(connection.stream(START))
    assert caught.value.full
    crowded.stop()


def test_address_that_is_none_is_an_error(authority: goldmanelike.Authority) -> None:
    with pytest.raises(errors.SetupError, match="'goldmane:x': 'x' is no port"):
        client.Client("goldmane:x", authority.client)


def test_missing_grpc_is_one_sentence() -> None:
    script = (
        "import sys; sys.modules['grpc'] = None\n"
        "from collector.goldmane import client\n"
        "try: client.require()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    root = pathlib.Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.stdout.startswith("SetupError gRPC is not installed")
    assert "pip install 'flowledger[goldmane]'" in done.stdout
