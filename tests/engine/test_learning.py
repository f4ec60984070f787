"""Learning a style: the picture net moves towards the picture, the file is small, and everything
that takes a style is changed by it.
"""

import numpy as np
import pytest
import torch

from openlumiere import Lumiere
from openlumiere.engine.inputs import open_picture
from openlumiere.engine.learn_style import draw_loss, prepare
from openlumiere.models.style import Style
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
        learning=Learning(steps=40, batch=4, rank=4, learning_rate=1e-2),
    )


def loss_under(lumiere, styles):
    from openlumiere.models.style import blended

    lesson = prepare(lumiere.base, [open_picture(picture())], [PROMPT])
    with (
        torch.no_grad(),
        blended(lumiere.base.stunet.unet2d, styles, lumiere.base.stunet.fingerprint()),
    ):
        generator = torch.Generator().manual_seed(5)
        return float(
            sum(
                draw_loss(
                    lumiere.base.stunet.unet2d, lumiere.base, lesson, Learning(batch=16), generator
                )
                for _ in range(4)
            )
        )


def test_the_error_on_the_picture_falls(lumiere, style):
    losses = [loss_under(lumiere, [(style, weight)]) for weight in (0.0, 1.0)]
    assert losses[1] < 0.9 * losses[0]


def test_the_net_itself_is_untouched(lumiere, style):
    assert (
        lumiere.base.stunet.fingerprint() == style.fingerprint
        and lumiere.base.fingerprint() == lumiere._model
    )
    assert not any("lora" in name for name, _ in lumiere.base.stunet.named_parameters())


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
        (1, ("\x07",), "prompt"),
    ],
)
def test_lessons_that_cannot_be(lumiere, images, prompts, name):
    with pytest.raises(ValueError, match=f"^{name}: expected .+, got .+, .+"):
        lumiere.learn_style([picture()] * images, "blocks", prompts=prompts)
