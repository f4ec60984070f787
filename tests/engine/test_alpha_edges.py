"""Edges of what is partly transparent: no colour that nobody sees gets into what is seen."""

from fractions import Fraction

import numpy as np

from openlumiere import Lumiere
from openlumiere.engine.canvas import Canvas
from openlumiere.engine.fit import Fit, blend, joined, paste
from openlumiere.media.alpha import premultiplied, spread, straight

ORANGE = (255, 180, 40)


def frame(alpha=0, colour=(0, 0, 0), side=64):
    made = np.zeros((side, side, 4), np.uint8)
    made[...] = (*colour, alpha)
    return made


def test_colours_are_spread_from_what_is_seen_however_far():
    made = frame(3, (0, 255, 0))
    made[:, :20] = (*ORANGE, 255)
    assert (spread(made) == ORANGE).all()
    assert (spread(frame(0)) == 255).all()


def test_between_two_frames_only_alpha_falls():
    both = np.stack([frame(255, ORANGE), frame(0)])
    middle = blend(both, Fit(frames=3, indices=(0, 2), height=64, width=64), 1, loop=False)
    assert np.abs(middle[0, 0].astype(int) - (*ORANGE, 128)).max() <= 1
    levels = np.random.default_rng(0).integers(40, 255, (8, 8, 4), np.uint8)
    assert np.abs(straight(premultiplied(levels)).astype(int) - levels).max() <= 1


def test_what_is_made_meets_what_is_known_without_colours_that_are_not_seen():
    made, known = frame(255, ORANGE), np.zeros((64, 64), bool)
    known[:, 32:] = True
    given = frame(0, (255, 0, 255))
    met = paste(made, given, known, 4)[:, :32]
    seen = met[..., 3] > 8
    assert np.abs(met[seen][:, :3].astype(int) - ORANGE).max() <= 3
    assert met[0, 31, 3] < met[0, 0, 3] == 255


def test_a_shape_that_stays_takes_no_colour_of_what_is_hardly_seen():
    made = frame(5, (0, 255, 0))
    made[16:40, 16:40] = (*ORANGE, 255)
    given = frame(255, (10, 20, 30))[None]
    known = np.zeros((1, 64, 64), bool)
    canvas = Canvas(frames=given, known=known, fps=Fraction(16))
    shown = joined(made, canvas, 0, exact=True, feather=0)
    assert (shown[..., :3] == ORANGE).all() and (shown[..., 3] == 255).all()


def test_shots_of_a_model_with_alpha():
    toys = Lumiere.from_pretrained("toys")
    how = {"steps": 1, "guidance": 1.0, "frames": 3, "size": 0, "seed": 3}
    assert len(toys.generate("a fox", shots=["a fox in the snow"], **how)) == 6
