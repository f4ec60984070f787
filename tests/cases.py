"""Inputs that strangers found, where they lie beside the checkout."""

from pathlib import Path

import pytest

CASES = Path(__file__).parents[2] / "shared" / "cases"


def case(name):
    """The file or folder of that name; without it the test is skipped."""
    if not (CASES / name).exists():
        pytest.skip("the cases are not beside this checkout")
    return CASES / name
