"""`lumiere data ingest FOLDER -o SHARDS`, `lumiere data latents SHARDS --model DIR`, `lumiere data
look SHARDS`: a person's own footage.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from openlumiere.data.ingest import IngestConfig, Score
    from openlumiere.data.ingest.run import OnFile
    from openlumiere.data.ingest.workers import Workers

RAY_CORES = 2


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Cut a folder of videos into clips that a model trains on; one that was stopped is resumed."""

    folder: Positional[Path]
    """Videos, nested as you like; captions in NAME.txt or NAME.json, tables, or names of files."""
    output: Annotated[Path, arg(aliases=("-o",))]
    """The folder of shards to write."""
    model: str | None = None
    """Whose side, length and rate clips are brought to where they are not given; see --latents."""
    latents: bool = False
    """Also compute the latents of that model's codec and the states of its text encoder."""
    device: str = "cpu"
    """Where they are computed: cpu or cuda."""
    side: int | None = None
    """Of a frame, in pixels: the model's; without --model 128."""
    frames: int | None = None
    """Of a clip: the model's; without --model 80."""
    fps: str | None = None
    """Frames a second: the model's, or 16; 24000/1001 and the like are exact."""
    fit: Literal["crop", "letterbox"] = "crop"
    """Keep the middle square, or all of the picture between black bars."""
    picture: Literal["webp", "webp-lossless", "npz"] = "webp"
    """How frames are stored; the second and third are exact."""
    drop: tuple[str, ...] = ("short", "still", "dark", "slideshow", "duplicate")
    """Rules whose clips are left out; also: text, logo. The others are noted in the index."""
    captions: Path | None = None
    """A CSV or Parquet table with the columns file and caption, before all others."""
    licence: str = ""
    """Of clips whose captions name none."""
    hours: float = 4.0
    """The longest file that is read."""
    workers: int = 2
    """Processes on this machine."""
    ray: str | None = None
    """Instead, a Ray cluster: auto (the one that runs), local (two workers here) or its address."""
    budget: float = 0.01
    """Share of files that may be bad; above it the exit code is 1, though the shards are good."""


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Compute a model's latents and text states of clips that are ingested; a run that was stopped
    is resumed.
    """

    shards: Positional[Path]
    """What `lumiere data ingest` wrote."""
    model: str
    """The model that will be trained: its folder, or a bundled one's name."""
    device: str = "cpu"
    """Where they are computed: cpu or cuda."""
    workers: int = 2
    """Shards that are read and written at once; the model codes one clip at a time."""
    ray: str | None = None
    """Instead, a Ray cluster: auto (the one that runs), local (two workers here) or its address."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Write a page with strips of clips, their captions, and why others were dropped."""

    shards: Positional[Path]
    """What `lumiere data ingest` wrote."""
    output: Annotated[Path, arg(aliases=("-o",))] = Path("look.html")
    """The page."""
    clips: int = 48
    """Strips of kept clips, and as many of dropped ones."""


def ingest(options: Ingest) -> int:
    """Bring footage into shards, and say what came of it."""
    check(options)
    from openlumiere.data.ingest import IngestConfig
    from openlumiere.data.ingest import ingest as bring

    config = IngestConfig(
        **form_of(options),
        fit=options.fit,
        picture=options.picture,
        drop=options.drop,
        scores=screening(),
        licence=options.licence,
        hours=options.hours,
    )
    if options.latents:
        check_model(str(options.model), config, options.device)
    report = bring(
        options.folder,
        options.output,
        config,
        captions=options.captions,
        workers=workers_of(options),
        on_file=counted(sys.stderr.isatty()),
    )
    print(f"{report.clips} clips, {report.seconds / 60:.1f} minutes, of {report.files} files")
    print(f"{report.dropped} clips dropped; see lumiere data look {options.output}")
    if report.problems:
        print(f"{len(report.problems)} files could not be used; see problems.json")
    if options.latents and report.clips:
        code(options.output, str(options.model), options)
    print(options.output)
    bad = len(report.problems) / report.files
    return 1 if bad > options.budget else 0


def check(options: Ingest) -> None:
    """Refuse what can be seen before anything is read. Raises ValueError."""
    if any(find_spec(name) is None for name in ("scenedetect", "pyarrow")):
        raise ValueError(
            "ingest: expected the packages scenedetect and pyarrow, got one of them missing,"
            " do: pip install 'openlumiere[ingest]'"
        )
    from openlumiere.data.ingest.listing import check_folder_of_footage

    check_workers(options.workers)
    check_folder_of_footage(options.folder)
    if options.latents and options.model is None:
        raise ValueError(
            "latents: expected the model that will be trained, got none, name it with --model"
        )
    if not 0 <= options.budget <= 1:
        raise ValueError(
            f"budget: expected a share from 0 to 1, got {options.budget}, leave it out for 0.01"
        )


def check_workers(count: int) -> None:
    """Raise ValueError for none, or far too many."""
    if not 1 <= count <= 1024:
        raise ValueError(f"workers: expected 1 to 1024, got {count}, leave it out for 2")


def workers_of(options: Ingest | Latents, gpu: bool = False) -> Workers:
    """Processes of this machine, or a cluster, each of whose workers has a GPU if asked."""
    from openlumiere.data.ingest import Cluster, Machine

    if options.ray is None:
        return Machine(options.workers)
    return Cluster(options.ray, RAY_CORES, gpus=int(gpu))


def form_of(options: Ingest) -> dict[str, Any]:
    """Side, length and rate of clips: those that are given, else the model's, else 128 px, 80
    frames, 16 a second.
    """
    fps = None if options.fps is None else rate(options.fps)
    given = {"side": options.side, "frames": options.frames, "fps": fps}
    form: dict[str, Any] = {"side": 128, "frames": 80, "fps": Fraction(16)}
    if options.model is not None and None in given.values():
        from openlumiere.apps.cli.loading import check_device, without_bars
        from openlumiere.train.latents import open_any

        check_device(options.device)
        without_bars()
        native = open_any(options.model, options.device).backbone.native
        form = {"side": native.side, "frames": native.frames, "fps": native.fps}
    return form | {name: value for name, value in given.items() if value is not None}


def check_model(model: str, config: IngestConfig, device: str) -> None:
    """Raise ValueError, before anything is read, for a model that does not take these clips."""
    from openlumiere.apps.cli.loading import check_device, without_bars
    from openlumiere.train.latents import check_clips, open_coder

    check_device(device)
    without_bars()
    check_clips(open_coder(model, device).backbone, config)


def code(shards: Path, model: str, options: Ingest | Latents) -> None:
    """Compute latents and text states, and say whose."""
    from openlumiere.apps.cli.loading import check_device, without_bars
    from openlumiere.train.latents import code_shards

    check_device(options.device)
    without_bars()
    workers = workers_of(options, options.device != "cpu")
    fingerprint = code_shards(shards, model, workers, options.device)
    print(f"latents of {model}, fingerprint {fingerprint[:12]}")


def latents(options: Latents) -> int:
    """Compute latents and text states of finished shards."""
    check_workers(options.workers)
    code(options.shards, options.model, options)
    print(options.shards)
    return 0


def rate(text: str) -> Fraction:
    """Frames a second. Raises ValueError."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"fps: expected a number or a fraction, got {text!r}, write 16 or 24000/1001"
        ) from None


def screening() -> tuple[Score, ...]:
    """The score for nudity, where the user's policy asks for it and the package is there."""
    from openlumiere.data.ingest import Score
    from openlumiere.safety.frames import THRESHOLD, asked
    from openlumiere.settings import Settings

    if not asked(Settings.load().policy):
        return ()
    score = Score(
        name="nudity", function="openlumiere.safety.frames:nudity", per="picture", most=THRESHOLD
    )
    return (score,)


def counted(terminal: bool) -> OnFile | None:
    """Counts files on a terminal; None elsewhere."""
    if not terminal:
        return None

    def on_file(done: int, of: int, name: str, reason: str) -> None:
        end = "\n" if done == of else ""
        print(f"\r\x1b[K{done} of {of} files, {name[:60]}", end=end, file=sys.stderr, flush=True)

    return on_file


def look(options: Look) -> int:
    """Write the page; 1 where a shard is damaged."""
    from openlumiere.data.ingest import Shards
    from openlumiere.data.ingest.look import look as write_page
    from openlumiere.media.write import check_folder

    if options.clips < 1:
        raise ValueError(f"clips: expected 1 or more, got {options.clips}, leave it out for 48")
    shards = Shards(options.shards)
    check_folder(options.output.parent)
    damaged = shards.damaged()
    if damaged:
        print(f"damaged: {', '.join(damaged)}; ingest into a new folder")
        return 1
    print(write_page(shards, options.output, options.clips))
    return 0
