"""Who may ask the gateway: this machine alone, or whoever knows a token."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
import ipaddress
import os
import pathlib
import urllib.parse
from collections.abc import Mapping

from model import errors
from store import exceptions


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """What a client has to show.

    Attributes:
        token: What it has to know; empty for nothing, where nobody but this machine can reach us.
    """

    token: str = dataclasses.field(default="", repr=False)

    def check(self, fields: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Let a request pass.

        Args:
            fields: Those of its URL.
            headers: Its headers, by name in lower case.

        Raises:
            StoreError: If it does not show the token, or comes from a page that only pretends to be here.
        """
        if not self.token:
            if not names_this_machine(headers.get("host", "")):
                # A page from elsewhere, whose name was made to point here, reads with its visitor's browser
                raise exceptions.told(497, "ACCESS_DENIED", "this ledger is served to this machine alone")
            return
        shown = _shown(fields, headers)
        if not shown:
            raise exceptions.told(
                194, "REQUIRED_PASSWORD", "this ledger asks for a token: give it as the password"
            )
        if not any(hmac.compare_digest(one.encode(), self.token.encode()) for one in shown):
            raise exceptions.told(516, "AUTHENTICATION_FAILED", "the password is not this ledger's token")


def given(
    host: str, file: str = "", variable: str = "", environment: Mapping[str, str] = os.environ
) -> Access:
    """What to ask of clients of an address.

    Args:
        host: Where we listen.
        file: Where the token stands; empty for no file.
        variable: The environment variable that has it; empty for none.
        environment: Where to look that up.

    Raises:
        SetupError: If there is no token where one is said to be, or none for an address that others reach.
    """
    if file and variable:
        raise errors.SetupError("gateway: give the token in a file or in a variable, not in both")
    token = _read(file) if file else environment.get(variable, "").strip() if variable else ""
    if (file or variable) and not token:
        raise errors.SetupError(f"gateway: there is no token in {file or f'the variable {variable}'}")
    if not token and not names_this_machine(f"[{host}]" if ":" in host else host or "0.0.0.0"):  # noqa: S104 (compared, not listened at)
        raise errors.SetupError(
            f"gateway: at {host or 'all addresses'} others could read the whole ledger: "
            "give it a token with gateway.token_file, or let it listen on 127.0.0.1"
        )
    return Access(token)


def names_this_machine(host: str) -> bool:
    """Whether a Host header is one that a program on this machine writes; some write none."""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or "localhost"
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _read(file: str) -> str:
    try:
        return pathlib.Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise errors.SetupError(f"gateway: no token can be read from {file}: {reason}") from error


def _shown(fields: Mapping[str, str], headers: Mapping[str, str]) -> list[str]:
    """Every password or token of a request."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    shown = [fields.get("password", ""), headers.get("x-clickhouse-key", "")]
    if scheme.lower() == "bearer":
        shown.append(rest.strip())
    elif scheme.lower() == "basic":
        try:
            shown.append(base64.b64decode(rest, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            shown.append("?")  # somebody has tried
    return [one for one in shown if one]
