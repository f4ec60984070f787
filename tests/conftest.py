"""Shared by all tests: checked tensor shapes, one thread, a tiny model in a folder, and the command
as a person calls it.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(
    prefix="openlumiere-tests-"
)  # one signer for the whole run, not the user's
os.chmod(os.environ["XDG_CONFIG_HOME"], 0o711)  # a test without rights still finds the policy
os.environ["OPENLUMIERE_POLICY"] = os.path.join(os.environ["XDG_CONFIG_HOME"], "policy.json")
with open(os.environ["OPENLUMIERE_POLICY"], "w") as policy:
    policy.write(
        '{"frames": false}'
    )  # looking at frames takes 40 ms each, and tests of it ask for it
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)

import jaxtyping  # noqa: E402

# Annotations on public tensor functions are checked at every call; this must come before the first
# import of these rooms.
jaxtyping.install_import_hook(["openlumiere", "openlumiere_world"], "checked.check")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


def build_tiny(seed: int = 0, **options):
    """A random pipeline of 16 px frames: a net of widths 16 and 32 on pixels unshuffled by 4,
    carried text encoder.
    """
    from nets import picture_net
    from openlumiere.engine.base import LumierePipeline
    from openlumiere.models.stunet import STUNet
    from openlumiere.train.nets import build_scheduler

    unet = picture_net(4, 48, seed=seed)
    net = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1), **options)
    for (
        parameter
    ) in net.temporal_parameters():  # so that time and its text matter, as they do after training
        torch.nn.init.normal_(parameter.data, std=0.05)
    return LumierePipeline(net.eval(), build_scheduler(), unshuffle=4)


@pytest.fixture(autouse=True)
def one_thread():
    """Whatever a command set: the last bits of clips depend on it."""
    yield
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session", name="build_tiny")
def build_tiny_fixture():
    """`build_tiny(seed=0, **options of STUNet)`."""
    return build_tiny


def build_small_upscaler(trained: bool = True):
    """A random super-resolution pipeline; not `trained`, its temporal parts add nothing yet."""
    from openlumiere.engine.cascade import LumiereUpscalePipeline
    from openlumiere.models.stunet import STUNet
    from openlumiere.train.config import UpscalerConfig
    from openlumiere.train.nets import build_scheduler, build_unet, inflate_upscaler

    torch.manual_seed(1)
    unet = build_unet(UpscalerConfig(widths=(16, 32), text_width=16))
    net: STUNet = inflate_upscaler(unet)
    for parameter in net.temporal_parameters() if trained else ():
        torch.nn.init.normal_(parameter.data, std=0.05)
    return LumiereUpscalePipeline(net.eval(), build_scheduler("squaredcos_cap_v2"))


@pytest.fixture(scope="session", name="build_tiny_upscaler")
def build_tiny_upscaler_fixture():
    """`build_tiny_upscaler(trained=True)`: widths 16 and 32, factor 4."""
    return build_small_upscaler


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A folder written by `LumierePipeline.save_pretrained`; read only."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    build_tiny().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_model):
    """A `Lumiere` of the tiny model."""
    from openlumiere import Lumiere

    return Lumiere.from_pretrained(tiny_model)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 128 KiB; skips where none may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
