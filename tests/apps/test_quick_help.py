"""Help and a mistake's line are there at once: no verb imports torch to print them."""

import gc
import subprocess
import sys

from openlumiere.apps.cli import many_imports

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
    *([name] for name in ("verify", "doctor", "inflate", "generate", "sticker", "studio", "serve")),
]
PRINT_HELP = """
import contextlib, sys
from openlumiere.apps.cli import main
for words in {words}:
    with contextlib.suppress(SystemExit):
        assert main([*words, "--help"]) == 0, words
    assert main([*words, "--no-such-option"]) == 2, words
assert not {{"torch", "diffusers", "transformers"}} & set(sys.modules), words
"""


def test_help_needs_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", PRINT_HELP.format(words=WORDS)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("usage: lumiere") == len(WORDS)


def test_the_garbage_collector_comes_back_after_imports():
    with many_imports():
        during = gc.isenabled()
    assert gc.isenabled() and not during
