"""Addresses; what a handshake finds out is in ``test_client``, with the sentences that come of it."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import socket
import ssl
import threading
from collections.abc import Iterator

import goldmanelike
import pytest

from collector.goldmane import certificates, handshake


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("goldmane.calico-system.svc:7443", ("goldmane.calico-system.svc", 7443)),
        ("goldmane.calico-system.svc", ("goldmane.calico-system.svc", 7443)),
        ("[::1]:443", ("::1", 443)),
        ("[::1]", ("::1", 7443)),
    ],
)
def test_address_has_host_and_port(text: str, found: tuple[str, int]) -> None:
    assert handshake.split(text) == found


@pytest.mark.parametrize("text", ["goldmane:", "goldmane:http", "goldmane:0", "goldmane:70000"])
def test_port_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no port"):
        handshake.split(text)


def test_address_without_a_host_is_an_error() -> None:
    with pytest.raises(ValueError, match="names no host"):
        handshake.split(":7443")


def test_connection_that_comes_about_has_no_fault(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    assert handshake.why_not(goldmane.address, goldmanelike.SERVER_NAME, authority.client()) == ""


def test_names_between_authorities_may_have_any_letters(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    """As in the bundles of distributions, which Calico's operator hands on."""
    shown = authority.client()
    shown = dataclasses.replace(shown, authorities="# Főtanúsítvány\n".encode() + shown.authorities)
    assert handshake.why_not(goldmane.address, goldmanelike.SERVER_NAME, shown) == ""


def test_server_without_tls_is_said(authority: goldmanelike.Authority) -> None:
    """Something answers that is no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            with plain.accept()[0] as one:
                one.recv(1000)
                one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{plain.getsockname()[1]}"
        assert handshake.why_not(address, "x", authority.client()).startswith("no TLS: ")


@contextlib.contextmanager
def alerting(
    authority: goldmanelike.Authority, folder: pathlib.Path, version: ssl.TLSVersion
) -> Iterator[str]:
    """A server that sends alerts, as Go's does; gRPC's own in the other tests only closes the connection."""
    certificate, key = authority.sign(goldmanelike.SERVER_NAME)
    shown = certificates.Credentials(certificate=certificate, key=key, authorities=authority.pem)
    paths = goldmanelike.write(folder, shown)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(paths[0], paths[1])
    context.load_verify_locations(paths[2])
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            plain = listening.accept()[0]
            with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                secure.sendall(b"x")
                secure.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nothing", ""),
        ("expired", "our certificate is not accepted by it: our certificate has expired, on "),
        ("foreign", "our certificate is not accepted by it: our certificate was signed by somebody whom"),
        ("missing", "our certificate is not accepted by it: we have no certificate to show"),
        ("renamed", "our certificate is not accepted by it: tlsv1 alert decrypt error"),
    ],
)
def test_alert_is_told_in_words(
    authority: goldmanelike.Authority, tmp_path: pathlib.Path, version: ssl.TLSVersion, wrong: str, said: str
) -> None:
    """The last one is signed by another authority of the same name, which only the server can tell."""
    foreign, renamed = goldmanelike.Authority("somebody").client(), goldmanelike.Authority().client()
    shown = {
        "nothing": authority.client(),
        "expired": authority.client(since=-3 * goldmanelike.DAY, until=-2 * goldmanelike.DAY),
        "foreign": dataclasses.replace(foreign, authorities=authority.pem),
        "missing": certificates.Credentials(certificate=b"", key=b"", authorities=authority.pem),
        "renamed": dataclasses.replace(renamed, authorities=authority.pem),
    }[wrong]
    with alerting(authority, tmp_path, version) as address:
        found = handshake.why_not(address, goldmanelike.SERVER_NAME, shown)
    assert found.startswith(said) if said else not found


def test_key_of_another_certificate_is_said(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    mixed = dataclasses.replace(authority.client(), key=authority.client().key)
    found = handshake.why_not(goldmane.address, goldmanelike.SERVER_NAME, mixed)
    assert found == "our key is not our certificate's"
