"""What mutual TLS with Goldmane is done with: PEM in memory, and what is wrong with it.

Nothing here needs more than the standard library. Of a certificate only its times and names are read, which
are at fixed places (RFC 5280, 4.1).
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import re
import ssl
from collections.abc import Iterator

from model import errors

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What we show, and whom we believe.

    Attributes:
        certificate: Our certificate and those that it was signed with, PEM; empty to show none.
        key: Its private key, PEM.
        authorities: Who may have signed Goldmane's certificate, PEM.
    """

    certificate: bytes
    key: bytes = dataclasses.field(repr=False)
    authorities: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says of itself; names as they stand there, in DER."""

    issuer: bytes
    since: datetime.datetime
    until: datetime.datetime
    subject: bytes


def read(certificate: str, key: str, authorities: str) -> Credentials:
    """The credentials in three files, as they are now.

    Args:
        certificate: Path of our certificate; empty for none.
        key: Path of its key.
        authorities: Path of the bundle of authorities.

    Raises:
        SetupError: If one of them cannot be read, or is not PEM of that kind.
    """
    found = Credentials(certificate=content(certificate), key=content(key), authorities=content(authorities))
    require(found, certificate or "the certificate", key or "the key", authorities or "the authorities")
    return found


def require(found: Credentials, certificate: str, key: str, authorities: str) -> None:
    """Make sure that each part is PEM of its kind.

    Args:
        found: All parts.
        certificate: What the first is called, and so on.
        key: See there.
        authorities: See there.

    Raises:
        SetupError: If one is not.
    """
    for text, pattern, name, what in (
        (found.certificate, _PEM, certificate, "certificate"), (found.key, _KEY, key, "private key"),
        (found.authorities, _PEM, authorities, "certificate"),
    ):  # fmt: skip
        if not pattern.search(text):
            raise errors.SetupError(f"Goldmane: there is no {what} in PEM in {name}")


def content(path: str) -> bytes:
    """What is in a file; nothing where none is named.

    Raises:
        SetupError: If it cannot be read.
    """
    try:
        return pathlib.Path(path).read_bytes() if path else b""
    except OSError as error:
        raise errors.SetupError(f"Goldmane: cannot read {path}: {error.strerror}") from error


def fault(found: Credentials, now: datetime.datetime) -> str:
    """What is wrong with our own certificate, in words; empty if nothing is to be seen.

    Args:
        found: All parts.
        now: This moment.
    """
    try:
        ours = next(certificates(found.certificate))
        known = {one.subject for one in certificates(found.authorities + found.certificate)}
    except StopIteration:
        return "we have no certificate to show"
    except ValueError:
        return "our certificate cannot be read"
    if now >= ours.until:
        return f"our certificate has expired, on {ours.until:%Y-%m-%d %H:%M} UTC: give us a new one"
    if now < ours.since:
        return f"our certificate is not valid before {ours.since:%Y-%m-%d %H:%M} UTC"
    if ours.issuer not in known:
        return (
            "our certificate was signed by somebody whom Goldmane's authorities do not know: it has to be "
            "from Calico's operator"
        )
    return ""


def bare(pem: bytes) -> bytes:
    """The certificates alone, without the names that bundles have between them, in any letters."""
    return b"\n".join(_PEM.findall(pem))


def certificates(pem: bytes) -> Iterator[Certificate]:
    """Each certificate in PEM.

    Raises:
        ValueError: If one is no certificate.
    """
    for block in _PEM.findall(pem):
        try:
            yield _certificate(ssl.PEM_cert_to_DER_cert(block.decode()))
        except (IndexError, UnicodeDecodeError) as error:
            raise ValueError("it breaks off") from error


def _certificate(der: bytes) -> Certificate:
    outer = _element(der, 0)[1]
    parts = list(_elements(_element(outer, 0)[1]))
    if parts[0][0] == _VERSION:
        parts = parts[1:]
    _serial, _algorithm, issuer, validity, subject = (content for _, content in parts[:5])
    since, until = (_moment(tag, content) for tag, content in _elements(validity))
    return Certificate(issuer, since, until, subject)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(content):
        tag, inner, place = _element(content, place)
        yield tag, inner


def _element(der: bytes, place: int) -> tuple[int, bytes, int]:
    """Tag and content of one element of DER, and where the next begins."""
    tag, length, place = der[place], der[place + 1], place + 2
    if length & 0x80:
        size = length & 0x7F
        length, place = int.from_bytes(der[place : place + size], "big"), place + size
    if place + length > len(der):
        raise ValueError("it breaks off")
    return tag, der[place : place + length], place + length


def _moment(tag: int, content: bytes) -> datetime.datetime:
    text = content.decode()
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
