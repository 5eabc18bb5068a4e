"""Credentials: what is read, and what is seen to be wrong."""

from __future__ import annotations

import datetime
import pathlib

import goldmanelike
import pytest

from collector.goldmane import certificates
from model import errors

NOW = datetime.datetime.now(datetime.UTC)


def test_files_are_read(authority: goldmanelike.Authority, tmp_path: pathlib.Path) -> None:
    shown = authority.client()
    assert certificates.read(*goldmanelike.write(tmp_path, shown)) == shown


@pytest.mark.parametrize(
    ("spoilt", "content", "said"),
    [
        ("tls.crt", b"nothing", "no certificate in PEM in .*tls.crt"),
        ("tls.key", b"nothing", "no private key in PEM in .*tls.key"),
        ("ca.crt", b"", "no certificate in PEM in .*ca.crt"),
        ("ca.crt", None, "cannot read .*ca.crt: No such file"),
    ],
)
def test_file_that_is_none_is_named(
    authority: goldmanelike.Authority, tmp_path: pathlib.Path, spoilt: str, content: bytes | None, said: str
) -> None:
    paths = goldmanelike.write(tmp_path, authority.client())
    place = tmp_path / spoilt
    place.unlink() if content is None else place.write_bytes(content)
    with pytest.raises(errors.SetupError, match=said):
        certificates.read(*paths)


def test_private_key_is_in_no_text(authority: goldmanelike.Authority) -> None:
    assert "PRIVATE" not in repr(authority.client())


def test_certificate_says_its_times(authority: goldmanelike.Authority) -> None:
    (one,) = certificates.certificates(authority.client().certificate)
    (signer,) = certificates.certificates(authority.pem)
    assert one.since < NOW < one.until
    assert (one.issuer, one.subject == one.issuer) == (signer.subject, False)


@pytest.mark.parametrize("length", range(0, 200, 7))
def test_certificate_that_breaks_off_is_an_error(authority: goldmanelike.Authority, length: int) -> None:
    import base64
    import ssl

    whole = ssl.PEM_cert_to_DER_cert(authority.pem.decode())
    pem = b"-----BEGIN CERTIFICATE-----\n%b\n-----END CERTIFICATE-----" % base64.b64encode(whole[:length])
    with pytest.raises(ValueError):
        list(certificates.certificates(pem))


@pytest.mark.parametrize(
    ("days", "said"), [((-3, -2), "expired"), ((2, 3), "not valid before"), ((-1, 1), "")]
)
def test_time_that_is_not_now_is_a_fault(
    authority: goldmanelike.Authority, days: tuple[int, int], said: str
) -> None:
    shown = authority.client(since=days[0] * goldmanelike.DAY, until=days[1] * goldmanelike.DAY)
    found = certificates.fault(shown, NOW)
    assert said in found
    assert bool(said) == bool(found)


def test_foreign_signer_is_a_fault(authority: goldmanelike.Authority) -> None:
    foreign = goldmanelike.Authority("somebody").client()
    mixed = certificates.Credentials(
        certificate=foreign.certificate, key=foreign.key, authorities=authority.pem
    )
    assert "signed by somebody whom" in certificates.fault(mixed, NOW)
    none = certificates.Credentials(certificate=b"", key=b"", authorities=authority.pem)
    assert "no certificate to show" in certificates.fault(none, NOW)
