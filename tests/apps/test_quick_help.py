"""Help is there at once: no verb that trains, draws or measures imports torch to print it."""

import subprocess
import sys

import pytest

WORDS = [
    ["train"],
    *(
        ["train", stage]
        for stage in ("image", "video", "conditional", "upscaler", "upscaler-video")
    ),
    ["data"],
    ["data", "world", "build"],
    ["data", "world", "pack"],
    ["data", "inspect"],
    ["evaluate"],
    *(
        ["evaluate", name]
        for name in ("world", "judge", "bias", "defects", "tasks", "marks", "upscale")
    ),
]
PRINT_HELP = """
import contextlib, sys
from openlumiere.apps.cli import main
for words in {words}:
    with contextlib.suppress(SystemExit):
        assert main([*words, "--help"]) == 0, words
assert not {{"torch", "diffusers", "transformers"}} & set(sys.modules), words
"""


@pytest.mark.parametrize("verb", ["train", "data", "evaluate"])
def test_help_needs_no_torch(verb):
    words = [each for each in WORDS if each[0] == verb]
    done = subprocess.run(
        [sys.executable, "-c", PRINT_HELP.format(words=words)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: lumiere") == len(words)
