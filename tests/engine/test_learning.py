"""Learning a style: the picture net moves towards the picture, the file is small, and everything
that takes a style is changed by it.
"""

import copy
import logging

import numpy as np
import pytest
import torch

from openlumiere import Lumiere
from openlumiere.engine.inputs import open_picture
from openlumiere.engine.learn_style import draw_loss, learn, prepare
from openlumiere.models.style import Style, styled
from openlumiere.tasks import Learning

PROMPT = "a star"


def picture():
    """Blue with a yellow square."""
    frames = np.full((40, 30, 3), (20, 40, 200), np.uint8)
    frames[12:28, 8:22] = (240, 220, 60)
    return frames


@pytest.fixture(scope="module")
def lumiere(build_tiny):
    return Lumiere(build_tiny())


@pytest.fixture(scope="module")
def style(lumiere):
    return lumiere.learn_style(
        [picture()],
        "blocks",
        prompts=[PROMPT],
        learning=Learning(steps=24, batch=4, rank=4, learning_rate=1e-2),
    )


def loss_under(lumiere, styles):
    base = lumiere.base
    net = styled(base.stunet, styles, base.stunet.fingerprint()).unet2d
    examples = prepare(base, [open_picture(picture()).clip], [PROMPT])
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        losses = [draw_loss(net, base, examples, Learning(batch=16), generator) for _ in range(4)]
    return float(sum(losses))


def test_the_error_on_the_picture_falls(lumiere, style):
    losses = [loss_under(lumiere, [(style, weight)]) for weight in (0.0, 1.0)]
    assert losses[1] < 0.9 * losses[0]


def test_the_net_itself_is_untouched(build_tiny, lumiere, style):
    assert lumiere.base.stunet.fingerprint() == style.fingerprint
    assert lumiere.base.fingerprint() == build_tiny().fingerprint()
    assert not any("lora" in name for name, _ in lumiere.base.stunet.named_parameters())


def test_the_loss_is_logged(lumiere, caplog):
    with caplog.at_level(logging.INFO, "openlumiere"):
        learning = Learning(steps=30, batch=4, rank=4, learning_rate=1e-2)
        lumiere.learn_style([picture()], "blocks", learning=learning)
    (line,) = [record for record in caplog.records if "loss" in record.msg]
    first, last = line.args
    assert 0 < last < first


@pytest.mark.parametrize("full", [False, True])
def test_weights_that_are_not_finite_are_never_learnt(lumiere, full):
    """Where training blows up it stops with one line, and there is no style to save."""
    learning = Learning(steps=50, batch=2, rank=2, full=full, learning_rate=1.0)
    huge = copy.copy(lumiere.base)
    huge.stunet = copy.deepcopy(lumiere.base.stunet)
    with torch.no_grad():
        huge.stunet.unet2d.conv_out.weight.mul_(1e30)
    with pytest.raises(ValueError, match="^learning rate: expected a finite loss, got (inf|nan)"):
        learn(huge, [open_picture(picture()).clip], "blocks", [PROMPT], learning)


@pytest.fixture(scope="module")
def bundled():
    return Lumiere.from_pretrained("world-32")


SHOWN = "a star stays still on a blue background"


@pytest.fixture(scope="module")
def star(bundled):
    return bundled.generate_image(SHOWN, steps=8, size=0, seed=1)


@pytest.mark.parametrize(
    ("prompt", "fits"), [(SHOWN, True), ("a frog on a yellow background", False)]
)
def test_a_picture_that_its_prompt_does_not_describe_is_warned_of(
    bundled, star, caplog, prompt, fits
):
    bundled.learn_style([star], "blocks", prompts=[prompt], learning=Learning(steps=1, batch=1))
    warned = [record for record in caplog.records if record.levelname == "WARNING"]
    assert bool(warned) != fits
    assert all(prompt in record.getMessage() for record in warned)


def test_everything_that_takes_a_style_changes_with_it(lumiere, style, tmp_path):
    style.save(tmp_path / "blocks.safetensors")
    file = tmp_path / "blocks.safetensors"
    for make in (
        lambda **options: lumiere.generate(PROMPT, frames=2, steps=2, size=0, **options),
        lambda **options: lumiere.generate_image(PROMPT, steps=2, size=0, **options),
        lambda **options: lumiere.animate(picture(), PROMPT, frames=3, steps=2, **options),
        lambda **options: lumiere.restyle(
            lumiere.generate(PROMPT, frames=2, steps=1, size=16), PROMPT, steps=2, **options
        ),
    ):
        plain, off, half, full = (
            make(),
            make(style=file, style_weight=0),
            make(style=[file, file], style_weight=[0.5, 0.0]),
            make(style=file, style_weight=1),
        )
        assert plain == off and plain != half != full != plain


def test_a_styled_clip_replays_with_its_style_alone(lumiere, style):
    made = lumiere.generate(PROMPT, frames=2, steps=2, size=0, style=style, style_weight=0.8)
    from openlumiere.engine.inputs import Given

    assert lumiere.replay(made.origin.replay, inputs={"style 0": Given(style)}) == made
    with pytest.raises(
        ValueError, match="inputs: expected the style 0 that the clip was made from, got none"
    ):
        lumiere.replay(made.origin.replay)


def test_whole_weights_can_be_learnt(lumiere, tmp_path):
    style = lumiere.learn_style(
        [picture()],
        "blocks",
        prompts=[PROMPT],
        learning=Learning(steps=20, batch=4, full=True, learning_rate=3e-3),
    )
    assert not style.low_rank and loss_under(lumiere, [(style, 1.0)]) < loss_under(lumiere, [])
    style.save(tmp_path / "full.safetensors")
    assert loss_under(lumiere, [(Style.load(tmp_path / "full.safetensors"), 1.0)]) < loss_under(
        lumiere, []
    )


def test_the_same_seed_learns_the_same(lumiere):
    learning = Learning(steps=2, batch=2, rank=2, seed=3)
    one, two = (
        lumiere.learn_style([picture(), picture()[::-1]], "blocks", learning=learning)
        for _ in range(2)
    )
    assert one.sha256 == two.sha256


def test_another_models_style_is_refused(build_tiny, style):
    with pytest.raises(
        ValueError,
        match="style: expected blocks for the picture net .*, got one for .*, load the model",
    ):
        Lumiere(build_tiny(seed=1)).generate(PROMPT, frames=1, steps=1, style=style)


@pytest.mark.parametrize(
    ("images", "prompts", "name"),
    [
        (0, (), "images"),
        (6, (), "images"),
        (2, ("a", "b", "c"), "prompts"),
        (1, ("\x07",), "prompts"),
    ],
)
def test_requests_that_cannot_be(lumiere, images, prompts, name):
    with pytest.raises(ValueError, match=f"^{name}: expected .+, got .+, .+"):
        lumiere.learn_style([picture()] * images, "blocks", prompts=prompts)
