"""Accelerate keeps its state for a whole process, so each test begins with none; TensorBoard has a
test of its own.
"""

import pytest
from accelerate.state import AcceleratorState

from openlumiere.train import log


@pytest.fixture(autouse=True)
def fresh_accelerate():
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(autouse=True)
def no_board(request, monkeypatch):
    if "board" not in request.node.name:
        monkeypatch.setattr(log, "open_board", lambda run: None)
