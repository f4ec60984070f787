import os
from pathlib import Path

import pytest
from tiny_world import build_tiny

from openlumiere_world.subjects import World


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def world(world_folder) -> World:
    return World.open(world_folder)


@pytest.fixture(scope="session")
def built_world(world) -> World:
    """The world that somebody has built, where `OPENLUMIERE_WORLD` names its folder; else the tiny
    one, which the same code built.
    """
    folder = os.environ.get("OPENLUMIERE_WORLD")
    return World.open(folder) if folder else world
