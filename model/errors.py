"""Everything that can go wrong in a way a person can mend.

    FlowledgerError          one line for a person, exit code 2
    ├── SetupError           this machine or this configuration does not allow it
    ├── ManifestError        an object in a manifest is not what it has to be
    ├── FilterError          a filter expression does not parse
    ├── StoreError           the ledger refused, or is not what we expect
    ├── ApiError             the Kubernetes API refused, or cannot be reached
    └── GoldmaneError        Calico's Goldmane refused, or cannot be reached

A programming error is a built-in exception and stays one. None is frozen: Python itself sets a traceback.
"""

from __future__ import annotations

import dataclasses
import enum


class FlowledgerError(Exception):
    """A failure whose text tells a person what was wrong, where, and what to do."""


class SetupError(FlowledgerError):
    """This machine, or the configuration, does not allow what was asked."""


class StoreError(FlowledgerError):
    """The ledger refused a statement, cannot be reached, or is not a ledger of this version.

    Attributes:
        code: ClickHouse's number for what was wrong; 0 where it is not ClickHouse that said it.
        temporary: Whether the same statement with the same rows may work later, because what is in the way
            is not in them: the server is away, overloaded, read-only for now, or has to be mended.
    """

    def __init__(self, message: str, *, code: int = 0, temporary: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.temporary = temporary


@dataclasses.dataclass(eq=False)
class ManifestError(FlowledgerError):
    """One object of a manifest is wrong.

    Attributes:
        file: Path of the file, as it was given to us.
        document: Position of the object in the file, from 1.
        field: Path of the field inside the object, such as ``spec.ingress[0].ports[1].port``.
        reason: What is wrong with it and what would be right.
    """

    file: str
    document: int
    field: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}, document {self.document}"
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"


@dataclasses.dataclass(eq=False)
class FilterError(FlowledgerError):
    """A filter expression is wrong at one character.

    Attributes:
        text: The whole expression.
        position: Where in it, from 0.
        reason: What was expected there.
    """

    text: str
    position: int
    reason: str

    def __str__(self) -> str:
        return f"filter: {self.reason}\n  {self.text}\n  {' ' * self.position}^"


class Refusal(enum.StrEnum):
    """Why the Kubernetes API has not given what it was asked for."""

    GONE = "gone"
    """410: the revision or the page that was asked for is no longer kept."""
    FORBIDDEN = "forbidden"
    """401 or 403: we are not known there, or not allowed to."""
    ABSENT = "absent"
    """404: there is no such object, or no such kind."""
    CONFLICT = "conflict"
    """409: somebody else was faster."""
    BUSY = "busy"
    """429: too many requests."""
    UNAVAILABLE = "unavailable"
    """5xx, no connection, a connection that broke or was silent, an answer that is no Kubernetes API's."""
    TOO_LARGE = "too_large"
    """The answer is larger than we take at once."""
    REFUSED = "refused"
    """Anything else that is wrong with what was asked."""


class ApiError(FlowledgerError):
    """The Kubernetes API refused, or cannot be reached; the text has the server's own words.

    Attributes:
        refusal: Why.
        status: The HTTP status; 0 where nobody answered.
        retry_after: Seconds that the server asks us to wait; 0 where it does not say.
    """

    def __init__(self, message: str, *, refusal: Refusal, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.status = status
        self.retry_after = retry_after


class GoldmaneError(FlowledgerError):
    """Calico's Goldmane refused, or cannot be reached.

    Attributes:
        full: Whether it can do no more of this at the moment: it has as many streams as it takes, or the
            answer is larger than we take at once.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full
