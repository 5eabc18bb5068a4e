"""What a ledger's refusal of rows means: wait and offer them again, or give them up.

ClickHouse numbers what is wrong; the numbers here are those of its ``ErrorCodes.cpp``, and ``SELECT
errorCodeToName(252)`` names one. Those of what passes are in `exceptions.TEMPORARY`. To wait with rows that
are wrong in themselves would keep all others from the ledger for ever; to give up rows because the ledger is
ill would lose them all, one batch after the other. So what is in no list is tried for a while first.
"""

from __future__ import annotations

import enum

from model import errors


class Meaning(enum.Enum):
    """What to do with rows that were refused."""

    WAIT = "wait"
    """The ledger cannot take any rows just now."""
    GIVE_UP = "give up"
    """The ledger will never take these."""
    UNCLEAR = "unclear"
    """It may be either."""


GIVE_UP = {
    6: "CANNOT_PARSE_TEXT",
    7: "INCORRECT_NUMBER_OF_COLUMNS",
    8: "THERE_IS_NO_COLUMN",
    9: "SIZES_OF_COLUMNS_DOESNT_MATCH",
    10: "NOT_FOUND_COLUMN_IN_BLOCK",
    15: "DUPLICATE_COLUMN",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    20: "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    33: "CANNOT_READ_ALL_DATA",
    43: "ILLEGAL_TYPE_OF_ARGUMENT",
    44: "ILLEGAL_COLUMN",
    47: "UNKNOWN_IDENTIFIER",
    50: "UNKNOWN_TYPE",
    53: "TYPE_MISMATCH",
    70: "CANNOT_CONVERT_TYPE",
    117: "INCORRECT_DATA",
    131: "TOO_LARGE_STRING_SIZE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    407: "DECIMAL_OVERFLOW",
    469: "VIOLATED_CONSTRAINT",
    565: "TOO_MANY_PARTITIONS",
    728: "UNEXPECTED_DATA_TYPE",
}
"""The rows themselves are wrong, for the table as it is."""


def meaning(error: errors.StoreError) -> Meaning:
    """What a refusal means."""
    if error.temporary:
        return Meaning.WAIT
    return Meaning.GIVE_UP if error.code in GIVE_UP else Meaning.UNCLEAR
