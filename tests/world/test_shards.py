import json
import random

import numpy as np
import pytest

from openlumiere.data import index, shards
from openlumiere_world.subjects import SCHEMA, World, from_row, to_row

MEMBERS = [
    ("a/1.webp", b"one" * 300),
    ("a/1.json", b"{}"),
    ("a/2.webp", b"two" * 700),
    ("a/2.json", b"[]"),
]


def test_a_member_and_a_sample_come_back(tmp_path):
    places = shards.write(tmp_path / "x.tar", MEMBERS)
    assert {name: shards.read(tmp_path, place) for name, place in places.items()} == dict(MEMBERS)
    samples = list(shards.samples(tmp_path / "x.tar"))
    assert [sample["__key__"] for sample in samples] == [b"a/1", b"a/2"]
    assert samples[1]["webp"] == b"two" * 700 and samples[1]["json"] == b"[]"


def test_the_same_members_give_the_same_bytes(tmp_path):
    shards.write(tmp_path / "x.tar", MEMBERS)
    shards.write(tmp_path / "y.tar", MEMBERS)
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()


def test_webdataset_reads_our_shards(tmp_path):
    """The format is the one others use, not only ours."""
    tariterators = pytest.importorskip("webdataset.tariterators")
    shards.write(tmp_path / "x.tar", MEMBERS)
    with (tmp_path / "x.tar").open("rb") as file:
        files = tariterators.tar_file_expander([{"stream": file, "url": "x.tar"}])
        loaded = list(tariterators.group_by_keys(files))
    assert [(sample["__key__"], sample["webp"]) for sample in loaded] == [
        ("a/1", b"one" * 300),
        ("a/2", b"two" * 700),
    ]


def test_a_cut_shard_is_refused_never_misread(tmp_path):
    path = tmp_path / "x.tar"
    places = shards.write(path, MEMBERS)
    whole = path.read_bytes()
    rng = random.Random(0)
    end = max(place.offset + place.length for place in places.values())
    for length in [0, 1, 511, 512, end - 1, *(rng.randrange(end) for _ in range(60))]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="build the data again"):
            list(shards.samples(path))
        for name, place in places.items():
            if place.offset + place.length > length:
                with pytest.raises(ValueError, match="cut or damaged"):
                    shards.read(tmp_path, place)
            else:
                assert shards.read(tmp_path, place) == dict(MEMBERS)[name]


def test_a_changed_byte_is_refused(tmp_path):
    places = shards.write(tmp_path / "x.tar", MEMBERS)
    data = bytearray((tmp_path / "x.tar").read_bytes())
    data[places["a/1.webp"].offset + 5] ^= 1
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        shards.read(tmp_path, places["a/1.webp"])


def test_rows_come_back_from_parquet_and_lines(world, world_folder, tmp_path):
    rows = [to_row(item) for item in world.items]
    assert [from_row(row) for row in json.loads(json.dumps(rows))] == world.items
    index.write(rows, tmp_path / "index.parquet")
    (tmp_path / "shards").mkdir()
    assert World.open(tmp_path).items == world.items


def test_a_file_that_is_no_index_is_refused(tmp_path):
    (tmp_path / "index.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="expected a Parquet index"):
        World.open(tmp_path)
    with pytest.raises(ValueError, match="expected a world folder or pack"):
        World.open(tmp_path / "nowhere")
    (tmp_path / "pack.tar").write_bytes(b"no tar either")
    with pytest.raises(ValueError, match="expected a world folder or pack"):
        World.open(tmp_path / "pack.tar")


def test_a_cut_index_is_refused(world_folder, tmp_path):
    whole = (world_folder / "index.parquet").read_bytes()
    for length in (0, 4, len(whole) // 2, len(whole) - 1):
        (tmp_path / "index.parquet").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="expected a Parquet index"):
            World.open(tmp_path)


JUNK = (
    None,
    -1,
    0,
    10**9,
    1.5,
    "",
    "x",
    "zz",
    [],
    [1],
    {},
    {"en": 1},
    True,
    "00000000",
    "40404040",
)


def test_fuzzed_rows_are_sound_or_refused(world, world_folder):
    """Whatever one wrong value does, it gives one ValueError, or an item whose sprite is whole or
    refused.
    """
    rng, told = random.Random(1), []
    for _ in range(600):
        true = rng.choice(world.items)
        row = json.loads(json.dumps(to_row(true)))
        target = rng.choice([row, row["media"][0]])
        target[rng.choice(sorted(target))] = rng.choice(JUNK)
        try:
            (row,) = index.read_lines(json.dumps(row), SCHEMA, "fuzz")
            item = from_row(row)
            sprite = World([item], world.folder).sprite(item.id, 64)
        except ValueError as error:
            told.append(str(error))
        else:
            assert np.array_equal(sprite, world.sprite(true.id, 64))
    assert len(told) > 300
    assert all(text.startswith("expected ") and "\n" not in text for text in told)
