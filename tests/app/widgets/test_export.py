import io

import pyarrow as pa
import pyarrow.parquet
import pytest

from app.widgets import export
from model import address

TABLE = pa.table(
    {
        "time": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "UTC")),
        "dst_address": pa.array([address.pack("2001:db8::1")], pa.binary(16)),
        "verdict": pa.array(["denied"]).dictionary_encode(),
        "forward_bytes": pa.array([2**64 - 1], pa.uint64()),
    }
)


def test_parquet_gives_every_column_back():
    table = pyarrow.parquet.read_table(io.BytesIO(export.parquet(TABLE)))
    assert table.column_names == TABLE.column_names
    assert table.to_pydict()["dst_address"] == ["2001:db8::1"]
    assert table.schema.field("time").type == TABLE.schema.field("time").type
    assert table.to_pydict()["forward_bytes"] == [2**64 - 1]


def test_csv_has_names_and_text():
    names, line = export.csv(TABLE).decode().splitlines()
    assert names == '"time","dst_address","verdict","forward_bytes"'
    assert line == '2023-11-14 22:13:20.123456789Z,"2001:db8::1","denied",18446744073709551615'


@pytest.mark.parametrize("encode", [export.csv, export.parquet])
def test_nothing_is_a_file_too(encode):
    assert encode(TABLE.slice(0, 0))
