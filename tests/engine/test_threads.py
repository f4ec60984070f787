"""Several threads share one `Lumiere`: each gets what it would have got alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from openlumiere.models.lora import LowRank
from openlumiere.models.style import Style
from openlumiere.tasks import Generate, Inpaint, Restyle

SCHEDULERS = ("ddim", "dpm++", "euler", "heun")


def style(net, seed):
    """A style that changes what the net makes."""
    draw = torch.Generator().manual_seed(seed)
    shape = net.conv_in.weight.shape
    down = torch.randn(2, *shape[1:], generator=draw) * 0.3
    up = torch.randn(shape[0], 2, 1, 1, generator=draw) * 0.3
    return Style(f"{seed}", {"conv_in": LowRank(down, up, 1.0)}, {}, None)


def tasks_for(lumiere, count):
    """Tasks of three kinds with other seeds, schedulers and styles."""
    styles = [style(lumiere.base.stunet.unet2d, seed) for seed in (0, 1)]
    clip = lumiere.generate("a dog", frames=2, steps=1, size=0)
    for number in range(count):
        how = {"seed": number, "steps": 2, "scheduler": SCHEDULERS[number % 4]}
        if number % 3:
            how["style"] = styles[number % 2]
        match number % 4:
            case 0 | 1:
                yield Generate(prompt="a dog runs", frames=2, size=0, **how)
            case 2:
                yield Inpaint(clip=clip, region=(0, 0, 0.5, 0.5), prompt="a cat", **how)
            case _:
                yield Restyle(clip=clip, prompt="a drawing", strength=0.8, **how)


@pytest.mark.parametrize("count", [12, pytest.param(40, marks=pytest.mark.long)])
def test_clips_from_four_threads_are_those_made_alone(tiny, count):
    before = {name: value.clone() for name, value in tiny.base.stunet.state_dict().items()}
    tasks = list(tasks_for(tiny, count))
    alone = [tiny.run(task) for task in tasks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(tiny.run, tasks))
    assert [a == b for a, b in zip(alone, together, strict=True)] == [True] * count
    assert [each.origin.record for each in alone] == [each.origin.record for each in together]
    after = tiny.base.stunet.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_styles_do_matter(tiny):
    """Else the test above could not fail for them."""
    plain, *styled = (
        tiny.generate("a dog", frames=2, steps=2, size=0, style=given, style_weight=1.0)
        for given in (None, *(style(tiny.base.stunet.unet2d, seed) for seed in (0, 1)))
    )
    assert plain != styled[0] != styled[1]
