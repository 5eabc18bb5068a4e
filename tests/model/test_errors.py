"""The texts of errors, and their tree."""

from __future__ import annotations

import enum
import inspect

import pytest

from model import errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(errors.SetupError("no nft"), "no nft", id="setup"),
        pytest.param(errors.StoreError("Code: 60"), "Code: 60", id="store"),
        pytest.param(
            errors.ManifestError("a.yaml", 2, "spec.order", "must be a number"),
            "a.yaml, document 2: spec.order: must be a number",
            id="manifest",
        ),
        pytest.param(
            errors.ManifestError("a.yaml", 1, "", "is not YAML"),
            "a.yaml, document 1: is not YAML",
            id="manifest as a whole",
        ),
        pytest.param(
            errors.FilterError("src = ", 6, "a value has to follow"),
            "filter: a value has to follow\n  src = \n        ^",
            id="filter",
        ),
    ],
)
def test_text_is_for_a_person(error: errors.FlowledgerError, text: str) -> None:
    assert str(error) == text


def test_every_error_is_one_of_ours_and_drawn() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    ours = [kind for kind in classes if not issubclass(kind, enum.Enum)]
    assert ours
    for kind in ours:
        assert issubclass(kind, errors.FlowledgerError)
        assert kind.__name__ in str(errors.__doc__)


def test_errors_can_be_raised_and_chained() -> None:
    """A frozen dataclass could not: Python sets its traceback and cause."""
    with pytest.raises(errors.FlowledgerError) as caught:
        raise errors.ManifestError("a", 1, "", "b") from ValueError("c")
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__traceback__ is not None
    assert caught.value != errors.ManifestError("a", 1, "", "b")
