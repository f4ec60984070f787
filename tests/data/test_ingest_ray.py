"""Ingestion under Ray on this machine: two workers, one of them killed on the way."""

import signal
import threading
import time

import psutil
import pytest
from recordings import SMALL, fill, moving, save

from openlumiere.data.ingest import Cluster, Machine, ingest

pytest.importorskip("ray", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("default")]  # Ray's own warnings


def kill_a_worker(notes, killed):
    """Once two files are done, kill a Ray worker that is at work, by its process id."""
    mine = psutil.Process()
    for _ in range(6000):
        if len(list(notes.glob("??/*.json"))) >= 2:
            for child in mine.children(recursive=True):
                if child.name().startswith("ray::digest_her"):
                    child.send_signal(signal.SIGKILL)
                    killed.append(child.pid)
                    return
        time.sleep(0.01)


def test_a_killed_worker_loses_and_doubles_no_clip(tmp_path):
    footage = fill(tmp_path / "footage", 4)
    for number in range(6):
        scenes = [moving(100 + 10 * number + scene, 16) for scene in range(6)]
        save(footage / f"long_{number}.mp4", *scenes)
    (footage / "broken.mp4").write_text("no video")
    killed = []
    killer = threading.Thread(
        target=kill_a_worker, args=(tmp_path / "ray" / "work", killed), daemon=True
    )
    killer.start()
    report = ingest(footage, tmp_path / "ray", SMALL, workers=Cluster("local", 2))
    killer.join()
    assert len(killed) == 1
    assert [name for name, _ in report.problems] == ["broken.mp4"]
    ingest(footage, tmp_path / "machine", SMALL, workers=Machine(2))
    names = {file.name for file in (tmp_path / "machine").iterdir() if file.name[0] != "."}
    assert names == {file.name for file in (tmp_path / "ray").iterdir() if file.name[0] != "."}
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "machine" / name).read_bytes()


def test_a_cluster_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"expected a Ray cluster at auto, got .*ray start --head"):
        Cluster("auto")
