"""A few steps of the temporal part over a tiny picture net on latents."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import fork_group, groups, same

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


def stage(asked=None, start=None, config=CONFIG):
    torch.manual_seed(0)
    unet = build_picture_net(PictureConfig(widths=(16, 32))).eval()
    sheet = None if asked is None else lambda pipeline, file: asked.append(file.name)
    return latent_clip_stage(
        Rising(), unet, StickerAutoencoder(), config, shift=4.0, start=start, sheet=sheet
    )


def run(folder, until, asked=None, config=CONFIG, start=None):
    made = stage(asked, start, config)
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


def test_conditional_training_begins_as_the_model_it_starts_from_and_reads_what_is_known(tmp_path):
    run(tmp_path / "plain", 3)
    conditional = replace(CONFIG, conditional=True)
    begun = stage(start=tmp_path / "plain", config=conditional)
    assert begun.net.config.in_channels == 33 and begun.net.config.hold_known
    assert not begun.net.conv_in_added.weight.any()
    plain = stage(start=tmp_path / "plain")
    clip, text = torch.randn(1, 16, FRAMES, 16, 16), torch.randn(1, 2, 384)
    known = torch.randn(1, 17, FRAMES, 16, 16)
    given = {"encoder_hidden_states": text, "class_labels": text[:, 0]}
    with torch.no_grad():
        before = plain.net(clip, 500, **given).sample
        after = begun.net(torch.cat([clip, known], 1), 500, **given).sample
    assert torch.equal(before, after)
    trained = run(tmp_path / "told", 6, config=conditional, start=tmp_path / "plain")
    assert trained.net.conv_in_added.weight.any()
    branch = trained.net.known_branch
    assert branch.conv_out.weight.any()
    nothing = torch.cat([clip, torch.zeros_like(known)], 1)
    with torch.no_grad():
        both = trained.net(
            torch.cat([nothing, torch.cat([clip, known], 1)]),
            500,
            text.expand(2, -1, -1),
            class_labels=text[:, 0].expand(2, -1),
        ).sample
        trained.net.known_branch = None
        alone = trained.net(nothing, 500, **given).sample
        trained.net.known_branch = branch
    assert torch.allclose(both[:1], alone, atol=1e-5) and not torch.allclose(both[1:], alone)

    lumiere = Lumiere.from_pretrained(tmp_path / "told/model")
    assert lumiere.base.backbone.reads.known
    picture = np.full((128, 128, 3), 200, np.uint8)
    clip = lumiere.animate(picture, "it rises", frames=FRAMES, fps="16/5", steps=1, size=0)
    assert clip.frames.shape[:3] == (FRAMES, 128, 128)


def test_of_what_is_no_prompts_work_something_is_always_shown():
    made = stage(config=replace(CONFIG, conditional=True, unknown=1.0))
    drawn = Rising().draw(torch.Generator().manual_seed(0), 8)
    assert not made.known(drawn, torch.Generator()).any()
    masks = made.known(drawn._replace(shown=True), torch.Generator())[:, -1]
    assert masks.flatten(1).any(1).all()


@pytest.mark.parametrize("shard", [False, True])
def test_processes_of_which_one_is_told_nothing_are_the_run_of_one(tmp_path, shard):
    """Up to rounding, which Adam makes as large as a step for what has nearly no gradient."""
    conditional = replace(CONFIG, conditional=True, unknown=0.6, bf16=False)

    def trained(folder, **more):
        made = stage(config=conditional)
        loop = replace(LOOP, batch=2, parts=2, optimizer="adamw", **more)
        train(made, loop, folder, max_steps=4)

    trained(tmp_path / "one")
    assert fork_group(2, lambda rank: trained(tmp_path / "two", shard=shard)) == [0, 0]
    one, two = groups(tmp_path / "one"), groups(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[key], two[key], atol=1e-3) for key in one)
