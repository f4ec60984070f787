"""Several processes: one exit code, one port, signals to all."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from openlumiere.apps.cli import processes

READY = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(sys.argv[1], os.environ["RANK"]).touch()
time.sleep(60)
"""


def python(code, *words):
    return [sys.executable, "-S", "-c", code, *words]


def start(code):
    return subprocess.Popen(python(code))


def test_every_process_knows_its_place():
    environments = processes.environments(3)
    assert (
        [env["RANK"] for env in environments]
        == [env["LOCAL_RANK"] for env in environments]
        == ["0", "1", "2"]
    )
    assert {env["WORLD_SIZE"] for env in environments} == {"3"} and len(
        {env["MASTER_PORT"] for env in environments}
    ) == 1


@pytest.mark.parametrize(("codes", "expected"), [((0, 0), 0), ((0, 2), 2)])
def test_the_first_failure_is_the_exit_code(codes, expected):
    assert (
        processes.first_failure([start(f"raise SystemExit({code})") for code in codes]) == expected
    )


def test_a_failure_ends_the_others():
    children = [start("raise SystemExit(3)"), start("import time; time.sleep(60)")]
    assert processes.first_failure(children) == 3
    assert children[1].wait() == -signal.SIGKILL


def test_a_signal_before_any_is_started_reaches_all(monkeypatch):
    commands = []

    def command(words):
        if not commands:
            os.kill(os.getpid(), signal.SIGTERM)
        commands.append(words)
        return python("import time; time.sleep(5)")

    monkeypatch.setattr(processes, "command", command)
    assert processes.launch(2, ["train"]) == 128 + signal.SIGTERM


def test_a_signal_goes_on_to_all(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "command", lambda words: python(READY, str(tmp_path)))
    before = signal.getsignal(signal.SIGTERM)

    def interrupt():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert processes.launch(2, ["train"]) == 0
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
