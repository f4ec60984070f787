"""Finished shards as a training source, and the page to look at them."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from recordings import SMALL, fill, moving, save

from openlumiere.data.ingest import Machine, Shards, ingest
from openlumiere.data.ingest.look import look, spread
from openlumiere.data.ingest.source import ShardSource, Turns

NASTY = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    footage = fill(folder / "footage", 5)
    (footage / "a_square_0.txt").write_text(NASTY)
    save(footage / "still.mp4", np.repeat(moving(60, 1), 8, 0))
    (footage / "broken.mp4").write_text("no video")
    config = replace(SMALL, picture="npz")
    ingest(footage, folder / "shards", config, workers=Machine(2))
    return folder / "shards"


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_clips_are_those_of_the_shards_at_their_times(shards):
    opened = Shards(shards)
    by_caption = {row["caption"]: n for n, row in enumerate(opened.rows)}
    assert NASTY in by_caption
    source = ShardSource(shards, 32, 16)
    sample = source.draw(generator(0), 6, torch.tensor([0.0, 6.0, 13.0]))  # in sixteenths
    assert sample.pixels.shape == (6, 3, 3, 32, 32) and len(sample.captions) == 6
    for pixels, caption in zip(sample.pixels, sample.captions):
        if caption != NASTY:
            continue  # the others share one caption
        frames = opened.frames(by_caption[caption])[[0, 3, 6]]
        shown = ((pixels + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()
        assert np.array_equal(shown, frames)


def test_each_clip_may_have_times_of_its_own(shards):
    source = ShardSource(shards, 32, 16)
    times = torch.tensor([[0.0, 15.0], [4.0, 5.4]])
    sample = source.draw(generator(1), 2, times)
    assert sample.pixels.shape == (2, 3, 2, 32, 32)
    assert torch.equal(sample.pixels[1, :, 0], sample.pixels[1, :, 1])  # both round to frame 2


def test_pictures_are_single_frames_of_any_moment(shards):
    source = ShardSource(shards, 32, 16)
    pixels = source.draw(generator(2), 64, None).pixels
    assert pixels.shape == (64, 3, 1, 32, 32)
    assert pixels.abs().max() <= 1
    assert len({picture.numpy().tobytes() for picture in pixels}) > 20  # of 40 there are


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_resumed_run_draws_what_the_unbroken_one_would(shards, workers):
    """Batch n depends on its place in the run and its generator: on no batch before it was drawn,
    nor on the loader.
    """
    times = torch.arange(8).float() * 2
    unbroken = ShardSource(shards, 32, 16, workers=1)
    whole = [unbroken.draw(generator(seed), 3, times) for seed in range(4)]
    resumed = ShardSource(shards, 32, 16, workers=workers)
    for seed in (2, 3):
        resumed.move_to(3 * seed)
        again = resumed.draw(generator(seed), 3, times)
        assert torch.equal(again.pixels, whole[seed].pixels)
        assert again.captions == whole[seed].captions


def test_every_clip_is_drawn_once_an_epoch_in_another_order_each(shards):
    source = ShardSource(shards, 32, 16)
    epochs = [source.draw(generator(0), 5, torch.zeros(1)).pixels for _ in range(4)]
    orders = [[clip.numpy().tobytes() for clip in epoch] for epoch in epochs]
    assert len(Shards(shards)) == 5
    assert all(set(order) == set(orders[0]) and len(set(order)) == 5 for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    other = ShardSource(shards, 32, 16, seed=1)
    drawn = [other.draw(generator(0), 5, torch.zeros(1)).pixels for _ in range(4)]
    assert not all(torch.equal(*pair) for pair in zip(drawn, epochs))


def test_every_frame_at_the_clips_own_rate(shards):
    source = ShardSource(shards, 32, None)
    shown = source.pixels(source.take(1), [list(range(8))])
    source.move_to(0)
    assert torch.equal(shown, source.draw(generator(0), 1, torch.arange(8).float() * 2).pixels)


def test_sets_take_turns_each_clip_once_a_round_and_resumed_exactly(shards, tmp_path):
    """A batch is of one set; which and what is a function of its place alone."""
    ingest(fill(tmp_path / "in", 2), tmp_path / "out", replace(SMALL, side=16))

    def turns():
        return Turns([ShardSource(shards, 32, None), ShardSource(tmp_path / "out", 16, None)], 3)

    unbroken = turns()
    drawn = [unbroken.next(1) for _ in range(28)]  # of 5 and 2 clips
    every = sorted([(0, [row]) for row in range(5)] + [(1, [row]) for row in range(2)])
    rounds = [drawn[start : start + 7] for start in range(0, 28, 7)]
    assert all(sorted(each) == every for each in rounds)
    assert len({tuple(which for which, _ in each) for each in rounds}) > 1
    for place in (3, 9):
        resumed = turns()
        resumed.move_to(place)
        assert [resumed.next(1) for _ in range(2)] == drawn[place : place + 2]


def test_shards_of_another_model_are_refused(shards):
    with pytest.raises(
        ValueError, match="expected clips of 80 native frames of 64 px .*, got 16 of 32"
    ):
        ShardSource(shards, 64, 80)


def test_times_outside_a_clip_are_refused(shards):
    with pytest.raises(ValueError, match="expected 0 to 15, got 0 to 16"):
        ShardSource(shards, 32, 16).draw(generator(0), 1, torch.tensor([0.0, 16.0]))


def test_what_is_not_finished_shards_is_refused(shards, tmp_path):
    with pytest.raises(ValueError, match="expected a folder that lumiere data ingest finished"):
        ShardSource(tmp_path, 32, 16)
    (tmp_path / "manifest.json").write_text('{"format": "other 3"}')
    with pytest.raises(ValueError, match="expected 'openlumiere clips 1', got 'other 3'"):
        Shards(tmp_path)


def test_shards_without_clips_are_refused(tmp_path):
    still = np.repeat(moving(60, 1), 8, 0)
    save(tmp_path / "in" / "still.mp4", still)
    report = ingest(tmp_path / "in", tmp_path / "out", SMALL)
    assert (report.clips, report.dropped) == (0, 1)
    with pytest.raises(ValueError, match="got none, see why they were dropped"):
        ShardSource(tmp_path / "out", 32, 16)


class Tags(HTMLParser):
    """Names of all tags, and the pictures."""

    def __init__(self):
        super().__init__()
        self.names, self.pictures = [], []

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])


def test_the_page_shows_clips_and_why_others_were_dropped(shards, tmp_path):
    text = look(Shards(shards), tmp_path / "page.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert "script" not in tags.names and "&lt;script&gt;" in text
    assert len(tags.pictures) == 6
    for picture in tags.pictures:
        data = base64.b64decode(picture.removeprefix("data:image/webp;base64,"))
        assert data[8:12] == b"WEBP"
    assert "near-still: motion 0 below 0.5" in text
    assert re.search(r"broken\.mp4: .*an unknown kind of file", text)
    assert not re.search(r"(src|href)=.?(https?:|//)", text)


def test_a_long_list_is_sampled_evenly():
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread(range(2), 48) == [0, 1]
    assert spread([], 48) == []
