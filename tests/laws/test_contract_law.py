"""Prediction kinds, schedules and diffusers' schedulers are known to the process alone."""

import ast
import inspect
from pathlib import Path

import pytest

from openlumiere.diffusion import multidiffusion, wrappers

SOURCE = Path(__file__).parents[2] / "src" / "openlumiere"
WRAPPERS = [
    wrappers.blend_prompts,
    wrappers.clipped,
    wrappers.guided,
    wrappers.held,
    wrappers.shaped,
    wrappers.looped,
    multidiffusion.multidiffuse,
    wrappers.sparse_first,
]
PROCESS_ALONE = {"alphas_cumprod", "prediction_type", "init_noise_sigma", "scale_model_input"}
ROOMS = ("backbones", "diffusion", "engine")
FILES = [path for room in ROOMS for path in sorted((SOURCE / room).rglob("*.py"))]


def attributes(path: Path) -> set[str]:
    """Every attribute that a file reads or stores."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda wrapper: wrapper.__name__)
def test_no_wrapper_takes_a_kind_or_a_schedule(wrapper):
    taken = set(inspect.signature(wrapper).parameters)
    assert "denoiser" in taken
    assert not taken & {"kind", "alphas_cumprod", "scheduler", "process"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_only_the_process_reads_a_scheduler(path):
    found = attributes(path) & PROCESS_ALONE
    assert path.name == "process.py" or not found


def test_the_process_does():
    assert attributes(SOURCE / "diffusion" / "process.py") >= PROCESS_ALONE


def test_the_contract_imports_nothing_of_ours():
    assert "import openlumiere" not in (SOURCE / "contract.py").read_text(encoding="utf-8")
    assert "from openlumiere" not in (SOURCE / "contract.py").read_text(encoding="utf-8")
