from __future__ import annotations

import pathlib

import pytest

from model import errors
from store import access


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_loopback_needs_no_token(host: str) -> None:
    assert access.given(host) == access.Access("")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "fd00::1", "ledger.example"])
def test_what_others_reach_needs_one(host: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.SetupError, match="give it a token"):
        access.given(host)
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    assert access.given(host, str(file)).token == "s3cret"
    assert access.given(host, variable="T", environment={"T": "s3cret"}).token == "s3cret"


@pytest.mark.parametrize(
    ("file", "variable", "said"),
    [
        pytest.param(
            "/nowhere/token", "", "no token can be read from /nowhere/token: No such file", id="file"
        ),
        pytest.param("", "T", "there is no token in the variable T", id="variable"),
        pytest.param("/dev/null", "", "there is no token in /dev/null", id="empty"),
        pytest.param("/dev/null", "T", "in a file or in a variable, not in both", id="both"),
    ],
)
def test_token_that_is_not_there_is_missed(file: str, variable: str, said: str) -> None:
    with pytest.raises(errors.SetupError, match=said):
        access.given("127.0.0.1", file, variable, environment={})


def test_token_is_not_shown() -> None:
    assert "s3cret" not in repr(access.Access("s3cret"))
