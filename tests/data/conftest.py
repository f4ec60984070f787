import os
from pathlib import Path

import pytest
from tiny_world import build_tiny

from openlumiere.data.world.subjects import World


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def world(world_folder) -> World:
    return World.open(world_folder)


@pytest.fixture(scope="session")
def built_world() -> World:
    """The real world, where somebody has built one."""
    folder = os.environ.get("OPENLUMIERE_WORLD")
    if not folder:
        pytest.skip("no built world: set OPENLUMIERE_WORLD to its folder")
    return World.open(folder)
