"""Addresses; what a handshake finds out is in ``test_client``, with the sentences that come of it."""

from __future__ import annotations

import socket

import goldmanelike
import pytest

from collector.goldmane import handshake


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


def test_connection_that_comes_about_has_no_fault(
    goldmane: goldmanelike.Goldmane, authority: goldmanelike.Authority
) -> None:
    assert handshake.why_not(goldmane.address, goldmanelike.SERVER_NAME, authority.client()) == ""


def test_server_without_tls_is_said(authority: goldmanelike.Authority) -> None:
    """Something answers that is no TLS."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            with plain.accept()[0] as one:
                one.recv(1000)
                one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{plain.getsockname()[1]}"
        assert handshake.why_not(address, "x", authority.client()).startswith("no TLS: ")
