import pytest
from small_cache import build_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of this file's own tests, which may add to its folder."""
    return build_cache(tmp_path_factory.mktemp("cache"))
