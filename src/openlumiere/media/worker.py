"""The child process: reads a job on standard input, leaves frames, sound and a report in the job's
folder.
"""

import contextlib
import json
import signal
import sys
from pathlib import Path

import av

from openlumiere.media import decode, sound
from openlumiere.media.child import STARTED
from openlumiere.media.limits import Limits, MediaError

SOUND_BYTES = 2**28


def main() -> None:
    """Do the job and write `report.json` last, whole."""
    job = json.load(sys.stdin)
    limits, folder = Limits(**job["limits"]), Path(job["folder"])
    confine(limits)
    av.logging.set_level(av.logging.PANIC)
    (folder / STARTED).touch()
    try:
        report = TASKS[job["task"]](job, limits, folder)
    except MediaError as error:
        report = {"error": error.parts}
    except MemoryError:
        report = {"error": too_much_memory(job, limits)}
    except OSError as error:
        report = {"error": no_room(error)}
    draft = folder / "report.draft"
    draft.write_text(json.dumps(report))
    draft.rename(folder / "report.json")


def too_much_memory(job: dict, limits: Limits) -> tuple[str, str, str]:
    """The parts of the error of a file that needs more memory than there is leave for."""
    allowed = f"a file that reads within {memory_bound(limits)} bytes"
    return allowed, job["path"], "scale it down or raise Limits.memory (or ulimit -v)"


def no_room(error: OSError) -> tuple[str, str, str]:
    """The parts of the error of a folder for temporary files that takes no more."""
    what = error.strerror or str(error)
    return (
        "room for decoded frames in the folder for temporary files",
        what,
        "free some space, set TMPDIR to a larger disk, or raise ulimit -f",
    )


def memory_bound(limits: Limits) -> int:
    """Bytes of address space: the lesser of ours and what the system lets us have."""
    with contextlib.suppress(ImportError):
        import resource

        return lesser(resource.RLIMIT_AS, limits.memory)
    return limits.memory


def confine(limits: Limits) -> None:
    """Bound memory, processor time and file size where the system can, never above what we were
    started with (`ulimit`).
    """
    with contextlib.suppress(ImportError):
        import resource

        wanted = {
            resource.RLIMIT_AS: limits.memory,
            resource.RLIMIT_CPU: int(limits.seconds) + 1,
            resource.RLIMIT_FSIZE: SOUND_BYTES + 4 * limits.total_pixels,
            resource.RLIMIT_CORE: 0,
        }
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # too large a file is an OSError then
        for kind, bound in wanted.items():
            least = lesser(kind, bound)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (least, least))


def lesser(kind: int, bound: int) -> int:
    """The least of `bound` and the two limits of this process, of which -1 is none."""
    import resource

    return min([bound, *(limit for limit in resource.getrlimit(kind) if limit >= 0)])


def read_clip(job: dict, limits: Limits, folder: Path) -> dict:
    """Frames and sound of a video, a picture or a folder of pictures."""
    path = Path(job["path"])
    with open(folder / "frames.raw", "w+b") as out:
        found = decode.read(path, out, limits, job["allow_partial"])
    name, word = decode.read_sound(path, found, folder / "sound.mka")
    return described(found) | {
        "fps": str(found.fps),
        "order": found.order,
        "sound": name,
        "words": [*found.words, *([word] if word else [])],
    }


def read_image(job: dict, limits: Limits, folder: Path) -> dict:
    """The first frame of a picture."""
    with open(folder / "frames.raw", "w+b") as out:
        found = decode.read_first_picture(Path(job["path"]), out, limits)
    return described(found) | {"words": found.words}


def described(found: decode.Decoded) -> dict:
    """Sides and channels of the frames, by name."""
    return {"height": found.height, "width": found.width, "channels": found.channels}


def encode_sound(job: dict, limits: Limits, folder: Path) -> dict:
    """Sound in another codec."""
    try:
        return {"sound": sound.encode_anew(Path(job["path"]), job["suffix"], folder / "sound.mka")}
    except av.FFmpegError as error:
        raise MediaError(
            "sound that can be decoded", str(error), "pass audio=None to save without it"
        ) from error


TASKS = {"clip": read_clip, "image": read_image, "sound": encode_sound}

if __name__ == "__main__":
    main()
