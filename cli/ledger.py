"""Where this machine's own ledger is, for whoever asks it from another process."""

from __future__ import annotations

import urllib.parse

from runtime import settings

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (looked up, not listened at)


def url(configured: settings.Gateway) -> str:
    """The gateway as `store.transport` opens it from this machine; it says where the token is, not which."""
    host = _ANY.get(configured.host, configured.host)
    at = f"http://[{host}]:{configured.port}" if ":" in host else f"http://{host}:{configured.port}"
    places = {"password_file": configured.token_file, "password_env": configured.token_env}
    options = urllib.parse.urlencode({name: place for name, place in places.items() if place})
    return f"{at}/?{options}" if options else at
