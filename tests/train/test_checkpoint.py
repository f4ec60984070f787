"""Checkpoints are whole or absent (R2), broken ones are found and named (R3), a full disk loses
none (R4), a kill none either (R1).
"""

import contextlib
import errno
import os
import random
import signal
import time
from collections import Counter

import pytest
import torch
from toy import fork, groups, line_losses, run_to, same

from openlumiere.train import checkpoint
from openlumiere.train.checkpoint import (
    BrokenCheckpoint,
    Checkpoint,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

OPERATIONS = ("open", "write", "fsync", "replace", "mkdir")


def sample(step):
    group = {
        "a/b": torch.randn(4, 3, generator=torch.Generator().manual_seed(step)),
        "c": torch.tensor(float(step)),
    }
    return Checkpoint(
        step=step, groups={"parameters": group, "average": group}, facts={"drawn": 2 * step}
    )


def equal(one, other):
    if (one.step, one.facts, one.groups.keys()) != (other.step, other.facts, other.groups.keys()):
        return False
    return all(
        torch.equal(one.groups[g][name], value)
        for g in one.groups
        for name, value in other.groups[g].items()
    )


class Faults:
    """Raises in the `fatal`-th of the operations that `checkpoint` asks of the system; a failing
    write leaves half.
    """

    def __init__(self, monkeypatch, fatal, error):
        self.count, self.fatal, self.error, self.seen = 0, fatal, error, Counter()
        for name in ("fsync", "replace"):
            monkeypatch.setattr(checkpoint.os, name, self.guard(name, getattr(os, name)))
        monkeypatch.setattr(checkpoint.Path, "mkdir", self.guard("mkdir", checkpoint.Path.mkdir))
        opened = checkpoint.Path.open

        def open_(path, mode="r", *rest, **options):
            if "w" not in mode:
                return opened(path, mode, *rest, **options)
            self.tick("open")
            return Writer(opened(path, mode, *rest, **options), self)

        monkeypatch.setattr(checkpoint.Path, "open", open_)

    def guard(self, name, call):
        def guarded(*arguments, **options):
            self.tick(name)
            return call(*arguments, **options)

        return guarded

    def tick(self, name):
        self.count += 1
        self.seen[name] += 1
        if self.count == self.fatal:
            raise self.error


class Writer:
    """A file whose write may fail half way."""

    def __init__(self, file, faults):
        self.file, self.faults = file, faults

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.faults.tick("write")
        self.file.write(data[len(data) // 2 :])

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_what_is_written_is_read(tmp_path):
    write_checkpoint(tmp_path, sample(3), keep=2)
    assert equal(newest_checkpoint(tmp_path), sample(3))
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_the_manifest_is_what_sha256sum_checks(tmp_path):
    write_checkpoint(tmp_path, sample(3), keep=2)
    names = {
        line.split("  ")[1]
        for line in (tmp_path / "step-3" / "manifest.txt").read_text().splitlines()
    }
    assert names == {path.name for path in (tmp_path / "step-3").iterdir()}


def test_only_the_newest_stay(tmp_path):
    for step in (1, 2, 9, 10, 11):
        write_checkpoint(tmp_path, sample(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-11"]


def save_over(run, monkeypatch, fatal, error):
    """A second save that fails in its `fatal`-th operation; answers what the system was asked."""
    write_checkpoint(run, sample(1), keep=1)
    with monkeypatch.context() as patch, contextlib.suppress(type(error)):
        faults = Faults(patch, fatal, error)
        write_checkpoint(run, sample(2), keep=1)
    return faults


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()],
    ids=["disk full", "killed"],
)
def test_a_fault_anywhere_leaves_a_whole_newest_checkpoint(tmp_path, monkeypatch, error):
    """At every write, sync and rename: the checkpoint of before, or the new one, never half of
    one.
    """
    whole = save_over(tmp_path / "whole", monkeypatch, 0, error)
    assert set(whole.seen) == set(OPERATIONS)
    for fatal in range(1, whole.count + 1):
        run = tmp_path / f"run{fatal}"
        assert save_over(run, monkeypatch, fatal, error).count == fatal
        found = newest_checkpoint(run)
        assert equal(found, sample(found.step)) and not list(run.glob("broken-*"))
        write_checkpoint(run, sample(3), keep=1)  # and the run goes on
        assert [path.name for path in run.iterdir()] == ["step-3"]


def test_every_flipped_bit_is_found_and_its_file_named(tmp_path):
    write_checkpoint(tmp_path, sample(1), keep=1)
    draw = random.Random(0)
    files = sorted((tmp_path / "step-1").iterdir())
    for _ in range(1000):
        file = draw.choice(files)
        data = file.read_bytes()
        place = draw.randrange(len(data))
        file.write_bytes(
            data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
        )
        with pytest.raises(
            BrokenCheckpoint, match=f"{file.name} as it was written, got other bytes"
        ):
            read_checkpoint(tmp_path / "step-1")
        file.write_bytes(data)
    assert equal(read_checkpoint(tmp_path / "step-1"), sample(1))


@pytest.mark.parametrize("name", ["manifest.txt", "trainer.json", "average.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_the_one_before_a_broken_newest_is_used(tmp_path, caplog, name, damage):
    for step in (1, 2):
        write_checkpoint(tmp_path, sample(step), keep=2)
    file = tmp_path / "step-2" / name
    data = file.read_bytes()
    file.unlink() if damage == "missing" else file.write_bytes(
        data[: 0 if damage == "empty" else len(data) // 2]
    )
    assert equal(newest_checkpoint(tmp_path), sample(1))
    assert f"step-2/{name}" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken-step-2", "step-1"]


def test_a_full_disk_is_said_and_the_run_goes_on(tmp_path, monkeypatch, caplog):
    """Saves that fail on the way are said; the last one may succeed again, and then nothing is
    lost.
    """
    room = iter([True, True, True, False, False] + [True] * 200)
    fsync = os.fsync

    def full(handle):
        if not next(room):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    run_to(tmp_path / "whole", 4)
    monkeypatch.setattr(checkpoint.os, "fsync", full)
    run_to(tmp_path / "full", 4, save_minutes=0)
    assert "could not be saved (No space left on device)" in caplog.text
    assert same(tmp_path / "full", tmp_path / "whole")


def test_a_disk_full_at_the_end_is_one_line(tmp_path, monkeypatch):
    run_to(tmp_path, 2)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(ValueError, match="run: expected space .* got No space left on device"):
        run_to(tmp_path, 4)
    assert newest_checkpoint(tmp_path).step == 2


KILLS = [pytest.param(number, marks=[pytest.mark.long] * (number >= 5)) for number in range(50)]


def slowly(net, count, generator):
    time.sleep(0.001)
    return line_losses(net, count, generator)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    run_to(folder, 40, losses=slowly, parts=2)
    return folder


@pytest.mark.parametrize("number", KILLS)
def test_a_kill_at_any_moment_then_going_on_is_the_unbroken_run(tmp_path, unbroken, number):
    """SIGKILL at random moments, in steps, in the middle of accumulation and of saving (every step
    saves), until it is done.
    """
    draw, kills = random.Random(number), 0
    while True:
        child = fork(lambda: run_to(tmp_path, 40, losses=slowly, parts=2, save_minutes=0))
        if kills < 3:
            time.sleep(draw.uniform(0.02, 0.3))
            os.kill(child, signal.SIGKILL)
            kills += 1
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            break
    assert same(tmp_path, unbroken)
    assert not list(tmp_path.glob("broken-*"))
    assert groups(tmp_path)
