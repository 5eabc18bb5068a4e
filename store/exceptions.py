"""What ClickHouse says when it refuses, as one of our errors."""

from __future__ import annotations

import re

from model import errors

TEMPORARY = {
    3: "UNEXPECTED_END_OF_FILE",
    32: "ATTEMPT_TO_READ_AFTER_EOF",  # another server has hung up on the one that we asked
    60: "UNKNOWN_TABLE",
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",  # a full disk, where the engine had not looked before
    76: "CANNOT_OPEN_FILE",
    77: "CANNOT_CLOSE_FILE",
    81: "UNKNOWN_DATABASE",
    87: "CANNOT_SEEK_THROUGH_FILE",
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    164: "READONLY",
    173: "CANNOT_ALLOCATE_MEMORY",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    195: "IP_ADDRESS_NOT_ALLOWED",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    244: "UNEXPECTED_ZOOKEEPER_ERROR",
    252: "TOO_MANY_PARTS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    289: "REPLICA_IS_NOT_IN_QUORUM",
    319: "UNKNOWN_STATUS_OF_INSERT",
    364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    497: "ACCESS_DENIED",
    499: "S3_ERROR",
    516: "AUTHENTICATION_FAILED",
    574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
    692: "TOO_MANY_MUTATIONS",
    735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    745: "SERVER_OVERLOADED",
    999: "KEEPER_EXCEPTION",
}  # fmt: skip
"""ClickHouse's codes for what is not the rows' fault, and its own names for them.

A missing table, a missing grant, a password that was changed and trouble with its own disks are among them:
whoever holds rows for this server keeps them until somebody has mended it.
"""

_CODE = re.compile(r"Code: (\d+)")
_NOISE = re.compile(r"\.? Stack trace:.*|\s*\(version [^()]*(?:\([^()]*\))?\)", re.DOTALL)


def refusal(words: str, code: int = 0) -> errors.StoreError:
    """The error for what a server or engine said.

    Args:
        words: Its own words, with or without a stack trace and a version, which are taken off.
        code: ClickHouse's number; read from the words where it is not given.
    """
    text = _NOISE.sub("", words).strip()
    found = _CODE.search(text)
    number = code or (int(found[1]) if found else 0)
    if number and not found:
        text = f"Code: {number}. {text}"
    if (name := TEMPORARY.get(number, "")) not in text:  # the native protocol leaves it out
        text = f"{text} ({name})"
    return errors.StoreError(text, code=number, temporary=number in TEMPORARY)


def told(code: int, name: str, words: str) -> errors.StoreError:
    """A refusal of our own, in ClickHouse's form of words."""
    return errors.StoreError(f"Code: {code}. DB::Exception: {words}. ({name})", code=code)


def unreachable(words: str) -> errors.StoreError:
    """The error for a server that is not there, or was not there long enough."""
    return errors.StoreError(words, temporary=True)
