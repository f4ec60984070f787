"""A few steps of the temporal part over a tiny picture net on latents."""

from dataclasses import replace

import torch
from toy import same

from openlumiere import Lumiere
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.train.config import LatentClipConfig, LoopConfig, PictureConfig
from openlumiere.train.loop import train
from openlumiere.train.stages.latent_clips import latent_clip_stage
from openlumiere.train.stages.picture import Coded, build_picture_net

LOOP = LoopConfig(
    learning_rate=3e-3,
    batch=2,
    warmup=2,
    log_every=1,
    count_work=False,
    save_minutes=1e9,
    show_every=2,
    optimizer="muon",
)
CONFIG = LatentClipConfig(attention_blocks=(1, 1, 1), loop=LOOP)
FRAMES = 4


class Rising:
    """Clips whose latents rise or fall in time, as one token says."""

    empty = torch.zeros(2, 384)

    def draw(self, generator, count):
        way = torch.randint(2, (count,), generator=generator) * 2.0 - 1
        ramp = torch.linspace(-1, 1, FRAMES)[None, None, :, None, None]
        latents = (way[:, None, None, None, None] * ramp).expand(-1, 16, -1, 16, 16)
        return Coded(latents, [sign * torch.ones(1, 384) for sign in way])


def stage(asked=None, start=None):
    torch.manual_seed(0)
    unet = build_picture_net(PictureConfig(widths=(16, 32))).eval()
    sheet = None if asked is None else lambda pipeline, file: asked.append(file.name)
    return latent_clip_stage(
        Rising(), unet, StickerAutoencoder(), CONFIG, shift=4.0, start=start, sheet=sheet
    )


def run(folder, until, asked=None):
    made = stage(asked)
    train(made, replace(LOOP, fall_from=until, fall_to=until), folder)
    return made


def test_only_the_temporal_part_moves_and_the_loss_falls(tmp_path):
    before = stage()
    asked = []
    after = run(tmp_path, 12, asked)
    frozen = {name for name, value in after.net.named_parameters() if not value.requires_grad}
    old, new = before.net.state_dict(), after.net.state_dict()
    assert frozen and all(torch.equal(old[name], new[name]) for name in frozen)
    assert any(not torch.equal(old[name], new[name]) for name in old.keys() - frozen)

    def loss(made):
        with torch.no_grad():
            losses = made.losses(made.net, 8, torch.Generator().manual_seed(9))
        return float(losses.loss.mean())

    assert loss(after) < loss(before)
    assert asked[-1] == "step-12.png"


def test_a_run_that_was_stopped_is_the_run_that_was_not_and_its_model_opens(tmp_path):
    run(tmp_path / "whole", 4)
    run(tmp_path / "parts", 2)
    run(tmp_path / "parts", 4)
    assert same(tmp_path / "whole", tmp_path / "parts")
    lumiere = Lumiere.from_pretrained(tmp_path / "whole/model")
    clip = lumiere.generate("a fox", frames=FRAMES, fps="16/5", steps=1, size=0)
    assert clip.frames.shape == (FRAMES, 128, 128, 4)
    begun = stage(start=tmp_path / "whole")
    kept = dict(lumiere.base.stunet.temporal_named_parameters())
    assert all(
        torch.equal(value, kept[name]) for name, value in begun.net.temporal_named_parameters()
    )
