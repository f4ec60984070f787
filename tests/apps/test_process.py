"""The command in a process of its own: Ctrl-C, and a terminal."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time

PROMPT = "a dog moves right on a green background"
CHILD = """
import signal
from openlumiere.apps.cli import console, main
console.EVERY = 3600  # on a slow machine, too
# A test run in the background inherits "ignore".
signal.signal(signal.SIGINT, signal.default_int_handler)
raise SystemExit(main())
"""


def start(words, model, cwd, **streams):
    command = [sys.executable, "-c", CHILD, *words, "--model", str(model)]
    return subprocess.Popen(command, cwd=cwd, env={**os.environ, "OMP_NUM_THREADS": "1"}, **streams)


def read_until(stream, text, seconds=300):
    """What a terminal shows until `text` appears in it."""
    shown, end = "", time.monotonic() + seconds
    while text not in shown and time.monotonic() < end:
        try:
            shown += os.read(stream, 1000).decode(errors="replace")
        except OSError:  # the other side is closed
            break
    return shown


def test_ctrl_c_while_sampling_leaves_nothing(tiny_model, tmp_path):
    """On a terminal, where the bar tells that sampling has begun; one line at the end, exit code
    130, an empty folder.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    words = ["generate", PROMPT, "-o", "clip.mp4", "--steps", "1000", "--size", "0"]
    process = start(words, tiny_model, tmp_path, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        shown = read_until(ours, "/1000")
        assert "generate:" in shown and "/1000" in shown, shown
        process.send_signal(signal.SIGINT)
        ended = shown + read_until(ours, "never")
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert ended.rstrip().endswith("lumiere: interrupted") and "Traceback" not in ended
    assert list(tmp_path.iterdir()) == []


def test_the_console_script_away_from_a_terminal(tiny_model, tmp_path):
    """No bar, no warnings, the path last."""
    words = [
        "generate",
        "🐶 כלב",
        "-o",
        "clip.webp",
        "--steps",
        "2",
        "--frames",
        "3",
        "--size",
        "0",
    ]
    process = start(words, tiny_model, tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (0, b"clip.webp\n", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.webp", "clip.webp.json"]
