import pyarrow as pa

from app.widgets import rows
from model import address

TABLE = pa.table(
    {
        "at": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")),
        "end": pa.array([address.pack("10.0.0.1")], pa.binary(16)),
        "none": pa.array([bytes(16)], pa.binary(16)),
        "name": pa.array(["web"]).dictionary_encode(),
    }
)


def test_read_gives_plain_values():
    """To the nanosecond: Python's own moments end at the microsecond."""
    assert rows.read(TABLE) == [
        {"at": 1_700_000_000_123_456_789, "end": "10.0.0.1", "none": "", "name": "web"}
    ]


def test_read_of_no_rows_is_empty():
    assert rows.read(TABLE.slice(0, 0)) == []
