"""What a prompt passes through: few files of ours, so that a reader opens each once."""

import pytest

from openlumiere import Lumiere
from openlumiere.engine.inputs import open_task
from openlumiere.tasks import Generate
from traced import files_entered

PROMPT = "a dog moves right on a green background"
FRAMES = 20  # from a task to its frames: plan, run, wrappers, net, codec, super-resolution
CLIP = 30  # with screening before and the record after
FILE = 40  # with mark, signature and encoding


@pytest.fixture(scope="module")
def bundled():
    return Lumiere.from_pretrained("world-32")


def test_from_a_task_to_its_frames(bundled):
    task = open_task(Generate(prompt=PROMPT, frames=4, steps=2))
    entered = files_entered(lambda: bundled._frames(task, None))
    assert {"engine/run.py", "models/stunet.py", "engine/cascade.py"} <= entered
    assert len(entered) <= FRAMES, sorted(entered)


def test_from_a_prompt_to_a_clip_and_a_file(bundled, tmp_path):
    made = []
    entered = files_entered(lambda: made.append(bundled.generate(PROMPT, frames=4, steps=2)))
    assert len(entered) <= CLIP, sorted(entered)
    entered |= files_entered(lambda: made[0].save(tmp_path / "clip.mp4"))
    assert {"provenance/watermark.py", "media/movie.py"} <= entered
    assert len(entered) <= FILE, sorted(entered)
