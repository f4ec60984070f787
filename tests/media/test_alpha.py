"""Alpha, end to end in `media`: straight at the door, exact where a format is lossless."""

import logging

import numpy as np
import pytest
from footage import calm, moving, read_here, see_through
from PIL import Image

from openlumiere.media import (
    Clip,
    MediaError,
    alpha,
    contact_sheet,
    filmstrip,
    load_image,
    save_image,
    xt_slice,
)

EXACT = ["a.webp", "a.apng", "a.mov", "a/"]


def test_a_clip_may_have_alpha():
    clip = Clip(see_through(3))
    assert clip.has_alpha and not Clip(moving(3)).has_alpha
    assert clip.size == (64, 48) and clip == Clip(see_through(3))
    assert Clip(moving(3)).over("red").frames is not None
    with pytest.raises(MediaError, match="3 or 4"):
        Clip(moving(3)[..., :2])


@pytest.mark.parametrize("name", EXACT)
def test_lossless_is_exact_in_colour_and_alpha(tmp_path, name):
    clip = Clip(see_through(), 24)
    loaded, _ = read_here(clip.save(f"{tmp_path}/{name}", lossless=True))
    assert loaded.fps == 24 and loaded.frames.shape == clip.frames.shape
    assert np.array_equal(loaded.frames[..., 3], clip.frames[..., 3])
    seen = clip.frames[..., 3] > 0
    assert np.array_equal(loaded.frames[seen], clip.frames[seen])


@pytest.mark.parametrize("name", EXACT)
def test_alpha_is_exact_by_default(tmp_path, name):
    """Lossy colours, as they are by default in webp and mov, leave alpha alone."""
    clip = Clip(calm(see_through()), 16)
    loaded, _ = read_here(clip.save(f"{tmp_path}/{name}"))
    assert np.array_equal(loaded.frames[..., 3], clip.frames[..., 3])
    solid = clip.frames[..., 3] == 255
    assert np.abs(loaded.frames[solid].astype(int) - clip.frames[solid]).max() <= 6


def test_webm_keeps_alpha_within_its_compression(tmp_path):
    clip = Clip(calm(see_through()), 16)
    loaded, _ = read_here(clip.save(tmp_path / "a.webm"))
    assert loaded.frames.shape == clip.frames.shape and loaded.fps == 16
    gap = np.abs(loaded.frames[..., 3].astype(int) - clip.frames[..., 3])
    assert gap.mean() < 1 and gap[clip.frames[..., 3] == 0].mean() < 1
    with pytest.raises(MediaError, match="lossless with alpha"):
        clip.save(tmp_path / "b.webm", lossless=True)


def test_no_rim_of_what_lies_under_transparent_pixels(tmp_path):
    """Black under the transparent pixels must not darken the edge in a file of half colours."""
    frames = calm(see_through())
    frames[frames[..., 3] == 0] = 0
    loaded, _ = read_here(Clip(frames, 16).save(tmp_path / "a.webm"))
    rim = (frames[..., 3] > 128) & (frames[..., 3] < 255)
    assert np.abs(loaded.frames[rim][:, 0].astype(int) - 200).mean() < 8


def test_gif_keeps_one_bit(tmp_path):
    clip = Clip(calm(see_through()), 10)
    loaded, _ = read_here(clip.save(tmp_path / "a.gif"))
    assert np.array_equal(loaded.frames[..., 3] == 255, clip.frames[..., 3] >= 128)
    assert set(np.unique(loaded.frames[..., 3])) == {0, 255}
    solid = clip.frames[..., 3] >= 128
    assert np.abs(loaded.frames[solid].astype(int)[:, :3] - clip.frames[solid][:, :3]).max() <= 4


@pytest.mark.parametrize("background", ["white", "#102030", (16, 32, 48)])
def test_mp4_is_composited_over_a_stated_colour(tmp_path, caplog, background):
    frames = calm(see_through())
    with caplog.at_level(logging.WARNING, "openlumiere"):
        path = Clip(frames).save(tmp_path / "a.mp4", lossless=True, background=background)
    colour = alpha.colour_of(background)
    assert "#{:02x}{:02x}{:02x}".format(*colour) in caplog.text
    loaded, _ = read_here(path)
    assert not loaded.has_alpha and (loaded.frames[frames[..., 3] == 0] == colour).all()
    share = frames[..., 3:] / 255
    mixed = frames[..., :3] * share + np.array(colour) * (1 - share)
    assert np.abs(loaded.frames - mixed).max() <= 1


@pytest.mark.parametrize("colour", ["no such colour", (1, 2), (0, 0, 300), ""])
def test_a_colour_that_is_none(tmp_path, colour):
    with pytest.raises(MediaError, match="a colour"):
        Clip(see_through()).save(tmp_path / "a.mp4", background=colour)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".webm", ".mov", ".gif", ".webp", ".apng"])
@pytest.mark.parametrize(("height", "width", "count"), [(1, 1, 1), (33, 51, 2), (16, 16, 1)])
def test_any_size_and_one_frame(tmp_path, suffix, height, width, count):
    frames = see_through(count, height, width)
    frames[..., 3] = 255
    frames[-1, 0, 0, 3] = 0
    loaded, _ = read_here(Clip(frames).save(tmp_path / f"a{suffix}"))
    assert loaded.frames.shape == frames.shape and loaded.fps == 16


def test_opaque_alpha_comes_back_as_rgb(tmp_path):
    frames = np.dstack([moving(1)[0], np.full((48, 64), 255, np.uint8)])[None]
    for name in ("a.webp", "a.apng", "a/"):
        loaded, _ = read_here(Clip(frames).save(f"{tmp_path}/{name}", lossless=True))
        assert np.array_equal(loaded.frames, moving(1))


def test_alpha_that_comes_late(tmp_path):
    """A folder whose first pictures are RGB and whose third is transparent."""
    for k in range(4):
        frame = see_through(1)[0] if k == 2 else moving(1)[0]
        Image.fromarray(frame).save(tmp_path / f"{k}.png")
    loaded, _ = read_here(tmp_path)
    assert loaded.frames.shape == (4, 48, 64, 4)
    assert np.array_equal(loaded.frames[0, ..., :3], moving(1)[0])
    assert (loaded.frames[[0, 1, 3], ..., 3] == 255).all()
    assert np.array_equal(loaded.frames[2], see_through(1)[0])


def test_pictures_keep_alpha(tmp_path):
    picture = see_through(1)[0]
    assert np.array_equal(load_image(save_image(picture, tmp_path / "a.png")), picture)
    loaded = load_image(save_image(picture, tmp_path / "a.webp"))
    assert np.array_equal(loaded[..., 3], picture[..., 3])


def test_pictures_of_clips_stand_on_a_chequerboard():
    clip = Clip(see_through(5))
    board = alpha.chequerboard(48, 64)
    strip = filmstrip(clip, 3)
    assert strip.shape == (48, 192, 3)
    assert np.array_equal(strip[0, :64], board[0]) and set(np.unique(board)) == {204, 255}
    assert contact_sheet([clip, moving(1)[0]], 2).shape[2] == 3
    assert xt_slice(clip).shape == (5, 64, 3)


def test_rgb_clips_are_written_as_before(tmp_path):
    """Alpha changes nothing for a clip without any: no fourth channel comes in by a file."""
    for name in ("a.webp", "a.apng", "a.gif", "a/", "a.mov"):
        loaded, _ = read_here(Clip(moving(4)).save(f"{tmp_path}/{name}", lossless=name != "a.gif"))
        assert loaded.frames.shape == (4, 48, 64, 3)
