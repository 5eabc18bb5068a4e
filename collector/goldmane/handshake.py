"""Why Goldmane does not take a connection, found out with a handshake of our own.

gRPC says of most that a socket was closed. TLS itself says more: whose certificate was not accepted, and why.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import ssl
from collections.abc import Iterator

from collector.goldmane import certificates

_SECONDS = 5.0
_CLIENT = (
    "CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_REVOKED", "UNSUPPORTED_CERTIFICATE", "ACCESS_DENIED", "DECRYPT_ERROR",
)  # fmt: skip
"""What a server's alert says about a client's certificate (RFC 8446, 6.2)."""


def split(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[::1]:port`` or a host alone, whose port is Goldmane's 7443.

    Raises:
        ValueError: If there is no host, or the port is none.
    """
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = address, "7443"
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{port!r} is no port")
    if not host.strip("[]"):
        raise ValueError("it names no host")
    return host.strip("[]"), int(port)


def why_not(address: str, server_name: str, shown: certificates.Credentials) -> str:
    """What keeps a connection from coming about, in words; empty if it does come about.

    Args:
        address: Where Goldmane is.
        server_name: The name that its certificate has to be for.
        shown: Our credentials.
    """
    try:
        with _context(shown) as context, socket.create_connection(split(address), _SECONDS) as plain:
            return _shake(context, plain, server_name, shown)
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted by us: {_verification(error, server_name)}"
    except ssl.SSLError as error:
        return _alert(error, shown)
    except OSError as error:
        return f"no connection: {error.strerror or error}"


def _shake(
    context: ssl.SSLContext, plain: socket.socket, server_name: str, shown: certificates.Credentials
) -> str:
    with context.wrap_socket(plain, server_hostname=server_name) as secure:
        # from TLS 1.3 on the server looks at our certificate when we think that all is done; a server that
        # took it begins to speak HTTP/2 at once
        try:
            said = secure.recv(1)
        except TimeoutError:
            return ""
        except ConnectionError:
            said = b""
    if said:
        return ""
    return _refused(shown, "it closes the connection after the handshake")


def _alert(error: ssl.SSLError, shown: certificates.Credentials) -> str:
    reason = (error.reason or str(error)).upper()
    words = (error.reason or str(error)).lower().replace("_", " ")
    if any(word in reason for word in _CLIENT):
        return _refused(shown, words)
    if "KEY_VALUES_MISMATCH" in reason:
        return "our key is not our certificate's"
    if "ALERT" in reason and _fault(shown):  # some servers say no more than that it came to nothing
        return _refused(shown, words)
    return f"no TLS: {words}"


def _refused(shown: certificates.Credentials, because: str) -> str:
    return f"our certificate is not accepted by it: {_fault(shown) or because}"


def _fault(shown: certificates.Credentials) -> str:
    return certificates.fault(shown, datetime.datetime.now(datetime.UTC))


def _verification(error: ssl.SSLCertVerificationError, server_name: str) -> str:
    if "issuer" in error.verify_message or "self-signed" in error.verify_message:
        return f"none of the authorities that we were given has signed it ({error.verify_message})"
    if "ostname" in error.verify_message:
        return f"it is not for the name {server_name}; goldmane.server_name says another"
    return error.verify_message


@contextlib.contextmanager
def _context(shown: certificates.Credentials) -> Iterator[ssl.SSLContext]:
    authorities = certificates.bare(shown.authorities).decode("ascii", "ignore")
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=authorities)
    context.set_alpn_protocols(["h2"])
    if shown.certificate:
        with _in_memory(shown.certificate) as certificate, _in_memory(shown.key) as key:
            context.load_cert_chain(certificate, key)
    yield context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path at which the content can be read, though it is on no disk: ``ssl`` takes files alone."""
    descriptor = os.memfd_create("goldmane")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
