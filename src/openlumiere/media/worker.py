"""The child process: reads a job on standard input, leaves frames, sound and a report in the job's
folder.
"""

import contextlib
import json
import sys
from pathlib import Path

import av

from openlumiere.media import decode, sound
from openlumiere.media.limits import Limits, MediaError

SOUND_BYTES = 2**28


def main() -> None:
    """Do the job and write `report.json` last, whole."""
    job = json.load(sys.stdin)
    limits, room = Limits(**job["limits"]), Path(job["room"])
    confine(limits)
    av.logging.set_level(av.logging.PANIC)
    try:
        report = TASKS[job["task"]](job, limits, room)
    except MediaError as error:
        report = {"error": error.parts}
    except MemoryError:
        report = {
            "error": (
                f"a file that reads within {limits.memory} bytes",
                job["path"],
                "scale it down or raise Limits.memory",
            )
        }
    draft = room / "report.draft"
    draft.write_text(json.dumps(report))
    draft.rename(room / "report.json")


def confine(limits: Limits) -> None:
    """Bound memory, processor time and file size where the system can."""
    with contextlib.suppress(ImportError):
        import resource

        seconds = int(limits.seconds) + 1
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_FSIZE, (SOUND_BYTES + 4 * limits.total_pixels,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_clip(job: dict, limits: Limits, room: Path) -> dict:
    """Frames and sound of a video, a picture or a folder of pictures."""
    path = Path(job["path"])
    with open(room / "frames.raw", "w+b") as out:
        found = decode.read(path, out, limits, job["allow_partial"])
    name = decode.read_sound(path, found, room / "sound.mka")
    return {
        "height": found.height,
        "width": found.width,
        "channels": found.channels,
        "words": found.words,
        "fps": str(found.fps),
        "order": found.order,
        "sound": name,
    }


def read_image(job: dict, limits: Limits, room: Path) -> dict:
    """The first frame of a picture."""
    with open(room / "frames.raw", "w+b") as out:
        found = decode.read_first_picture(Path(job["path"]), out, limits)
    return {
        "height": found.height,
        "width": found.width,
        "channels": found.channels,
        "words": found.words,
    }


def encode_sound(job: dict, limits: Limits, room: Path) -> dict:
    """Sound in another codec."""
    try:
        return {"sound": sound.encode_anew(Path(job["path"]), job["suffix"], room / "sound.mka")}
    except av.FFmpegError as error:
        raise MediaError(
            "sound that can be decoded", str(error), "pass audio=None to save without it"
        ) from error


TASKS = {"clip": read_clip, "image": read_image, "sound": encode_sound}

if __name__ == "__main__":
    main()
