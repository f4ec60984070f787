"""A second studio: on a port that is taken, and over the same queue."""

import subprocess
import sys
import urllib.request

import pytest

pytestmark = pytest.mark.xdist_group("studio")


def test_a_port_that_is_taken_is_one_line(studio, tmp_path):
    port = studio.address.rsplit(":", 1)[1].strip("/")
    words = [sys.executable, "-m", "openlumiere.apps.cli", "studio", "--port", port]
    done = subprocess.run(
        [*words, "--folder", str(tmp_path / "queue")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"port: expected one that is free, got {port}" in done.stderr


def test_two_studios_share_a_queue(studio, tmp_path):
    second = type(studio)(studio.folder)
    try:
        assert second.address and second.address != studio.address
        for address in (studio.address, second.address):
            with urllib.request.urlopen(address, timeout=60) as page:
                assert page.status == 200
    finally:
        second.close()
    with urllib.request.urlopen(studio.address, timeout=60) as page:
        assert page.status == 200
