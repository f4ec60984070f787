"""What a command imports before it works: no published pipeline, whose modules take seconds."""

import subprocess
import sys

SHOW = "import sys; import openlumiere.engine.lumiere; print(*sys.modules, sep='\\n')"


def test_published_pipelines_are_imported_when_a_folder_asks_for_them():
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert "openlumiere.engine.run" in names
    loaded = [name for name in names if name.startswith("diffusers.pipelines.")]
    assert all(name.startswith("diffusers.pipelines.pipeline_") for name in loaded), loaded
    assert "openlumiere.engine.learn_style" not in names
