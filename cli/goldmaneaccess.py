"""How to get at Goldmane: certificates from files or from the cluster's own objects, and all the parts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from collector.goldmane import certificates, client
from model import errors
from runtime import component, metrics, settings
from store import transport

if TYPE_CHECKING:
    from collector.goldmane import source
    from enrich.kubernetes import client as kubernetes

_SECONDS = 10.0
_BUNDLE = "tigera-ca-bundle.crt"
"""Where Calico's operator has its authorities in a ConfigMap; what else is there, the system knows."""


def start(
    group: component.Group, configured: settings.Goldmane, api: kubernetes.Api, ledger: transport.Transport,
    measured: metrics.Metrics, *, leads: Callable[[], bool],
) -> source.Source:  # fmt: skip
    """Record what Goldmane has, while this process leads.

    Args:
        group: What it lives with.
        configured: Where Goldmane is, and what to show.
        api: Where secrets are read.
        ledger: Where flows go.
        measured: The process's metrics.
        leads: Whether this process is the one that does it.

    Raises:
        SetupError: If gRPC is not installed, or the settings do not say what to show.
    """
    client.require()  # before what needs it is imported
    from cli import goldmaneledger
    from collector.goldmane import source

    shown = credentials(configured, api)
    goldmane = client.Client(configured.address, shown, configured.server_name)
    made = source.Source(goldmane, goldmaneledger.Ledger(ledger, measured), leads=leads)
    group.start(made)
    return made


def credentials(configured: settings.Goldmane, api: kubernetes.Api) -> Callable[[], certificates.Credentials]:
    """What reads the credentials, each time anew; files are read once to see that they are there.

    Raises:
        SetupError: If the settings name none, or one that cannot be read.
    """
    if configured.secret:
        return _of_secret(configured, api)
    paths = configured.certificate, configured.key, configured.ca
    if not all(paths):
        raise errors.SetupError(
            "Goldmane lets in who shows a certificate: name its secret with --goldmane-secret "
            "NAMESPACE/NAME, or files with --goldmane-cert, --goldmane-key and --goldmane-ca"
        )
    certificates.read(*paths)
    return lambda: certificates.read(*paths)


def _of_secret(configured: settings.Goldmane, api: kubernetes.Api) -> Callable[[], certificates.Credentials]:
    """Credentials that are kept in memory alone."""
    secret = _place("secrets", configured.secret, "--goldmane-secret")
    bundle = _place("configmaps", configured.ca_config_map, "--goldmane-ca-config-map")

    def read() -> certificates.Credentials:
        data = _data(api, secret)
        certificate, key = (_decoded(data, name, configured.secret) for name in ("tls.crt", "tls.key"))
        authorities, whence = _authorities(configured, api, data, bundle)
        found = certificates.Credentials(certificate=certificate, key=key, authorities=authorities)
        certificates.require(found, f"{configured.secret} tls.crt", f"{configured.secret} tls.key", whence)
        return found

    return read


def _authorities(
    configured: settings.Goldmane, api: kubernetes.Api, data: dict[str, Any], bundle: str
) -> tuple[bytes, str]:
    """Who may have signed Goldmane's certificate, and where that is said."""
    if configured.ca:
        return certificates.content(configured.ca), configured.ca
    if data.get("ca.crt"):
        return _decoded(data, "ca.crt", configured.secret), f"{configured.secret} ca.crt"
    told = _data(api, bundle)
    texts = [str(told[_BUNDLE])] if _BUNDLE in told else [str(text) for text in told.values()]
    return "\n".join(texts).encode(), f"ConfigMap {configured.ca_config_map}"


def _place(kind: str, name: str, flag: str) -> str:
    namespace, slash, object_name = name.partition("/")
    if not namespace or not slash or not object_name or "/" in object_name:
        raise errors.SetupError(f"{flag} is NAMESPACE/NAME, not {name!r}")
    return f"/api/v1/namespaces/{namespace}/{kind}/{object_name}"


def _data(api: kubernetes.Api, path: str) -> dict[str, Any]:
    found = api.get(path, seconds=_SECONDS).get("data")
    return found if isinstance(found, dict) else {}


def _decoded(data: dict[str, Any], name: str, secret: str) -> bytes:
    try:
        return base64.b64decode(str(data.get(name, "")), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.SetupError(f"Goldmane: {name} of the secret {secret} is not base64") from error
