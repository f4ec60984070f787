"""What `mend` finds and mends in clips that were damaged on purpose, a table a damage.

    python benchmarks/mending.py [--footage bikes.mp4 carphone_pristine.mp4 ...] [--scenes N ...]

Scenes are drawn (seeded) or cut from recordings, damaged, and sent through H.264 at crf 18, as
footage is. Snow, rain, sparks, leaves and confetti belong to the scene. *Found*: a finding of the
right kind overlaps the damage in time and space. *False*: findings that overlap no damage, in the
damaged clips and in the sound ones. dB: against the scene as it was, over damaged pixels and over
sound ones, before and after; pixels that are left to the net are not counted.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from openlumiere import Clip
from openlumiere.quality.attacks import coded
from openlumiere.quality.bench import markdown
from openlumiere.quality.repair import Repair, mended

FRAMES, HEIGHT, WIDTH = 24, 120, 160
CRF = 18
SPECKS = 24
MOST_FALSE = 1  # findings a clip


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One thing that is broken: `kind` in frames `first` to `last`, at the pixels of `mask`."""

    kind: str
    first: int
    last: int
    mask: np.ndarray

    def overlaps(self, first, last, box) -> bool:
        """Whether a finding is about this."""
        top, left, bottom, right = box
        meets = first <= self.last and last >= self.first
        return meets and bool(self.mask[top:bottom, left:right].any())


class Damaged(NamedTuple):
    """Frames and what is broken in them."""

    frames: np.ndarray
    damages: list[Damage]


class Measured(NamedTuple):
    """Of one clip: damages, those found, false findings, and four ratios in dB."""

    count: int
    found: int
    false: int
    broken: tuple[float, float]
    sound: tuple[float, float]


# ---- scenes


def noise(draw: np.random.Generator, height: int, width: int, coarsest: int = 32) -> np.ndarray:
    """A texture of several sizes, [h, w, 3], around 0, spread about 1."""
    picture = np.zeros((height, width, 3), np.float32)
    side = coarsest
    while side >= 2:
        small = draw.standard_normal((height // side + 3, width // side + 3, 3)).astype(np.float32)
        small = 0.4 * small + 0.6 * small[..., :1]
        large = cv2.resize(small, None, fx=side, fy=side, interpolation=cv2.INTER_CUBIC)
        picture += large[:height, :width] * (side / coarsest) ** 0.7
        side //= 2
    return picture / picture.std()


def seen_from(wide: np.ndarray, down: float, across: float) -> np.ndarray:
    """A window of the frame's size in a wide picture, anywhere between pixels."""
    moved = np.float32([[1, 0, -across], [0, 1, -down]])
    return cv2.warpAffine(wide, moved, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def ground(draw, pan=(0.0, 0.0), level=120.0, spread=32.0) -> np.ndarray:
    """A textured ground that pans by pixels a frame, [f, h, w, 3] float."""
    reach = [int(abs(step) * FRAMES) + 4 for step in pan]
    wide = level + spread * noise(draw, HEIGHT + reach[0], WIDTH + reach[1])
    start = [reach[axis] - 2 if pan[axis] < 0 else 1 for axis in (0, 1)]
    return np.stack(
        [seen_from(wide, start[0] + k * pan[0], start[1] + k * pan[1]) for k in range(FRAMES)]
    )


def subject(frames: np.ndarray, draw, speed=2.5, radius=16) -> np.ndarray:
    """A textured ball that crosses in front."""
    skin = 150 + 40 * noise(draw, 2 * radius, 2 * radius, 8) + draw.uniform(-60, 60, 3)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    row = HEIGHT * draw.uniform(0.4, 0.7)
    for k, frame in enumerate(frames):
        middle = 20 + speed * k
        moved = np.float32([[1, 0, middle - radius], [0, 1, row - radius]])
        here = cv2.warpAffine(skin.astype(np.float32), moved, (WIDTH, HEIGHT))
        share = np.clip(radius - 1 - np.hypot(y - row, x - middle), 0, 1)[..., None]
        frame[:] = frame * (1 - share) + here * share
    return frames


def dots(frames, draw, count, size, speed, colours, long=0.0, sway=0.0, life=0):
    """Small things that fly: ellipses of `size` pixels, `long` along their way, that leave and come
    back at the other side; `life` in frames, then they start anew elsewhere.
    """
    for _ in range(count):
        place = draw.uniform((0, 0), (HEIGHT, WIDTH))
        velocity = np.array([draw.uniform(*speed[0]), draw.uniform(*speed[1])])
        radius, colour = draw.uniform(*size), np.array(colours[draw.integers(len(colours))])
        phase, turning = draw.uniform(0, 6.28), draw.uniform(0.3, 0.8)
        born = draw.integers(max(life, 1))
        for k, frame in enumerate(frames):
            if life and (k + born) % life == 0:
                place = draw.uniform((0, 0), (HEIGHT, WIDTH))
            swing = sway * np.sin(phase + turning * k)
            where = (place[0] % HEIGHT, (place[1] + swing) % WIDTH)
            fade = 1 - ((k + born) % life) / life if life else 1.0
            drop(frame, where, velocity, radius, long, colour, 0.35 + 0.6 * fade)
            place = place + velocity
    return frames


def drop(frame, where, velocity, radius, long, colour, share) -> None:
    """One of them, drawn with soft edges."""
    fine = 8
    layer = np.zeros((HEIGHT, WIDTH), np.float32)
    tail = np.array(where) - long * velocity
    ends = [(int(fine * p[1]), int(fine * p[0])) for p in (tail, where)]
    thick = max(1, round(2 * radius))
    cv2.line(layer, *ends, 1.0, thick, cv2.LINE_AA, 3)
    layer = cv2.GaussianBlur(layer, (3, 3), 0.6) * share
    frame += layer[..., None] * (colour - frame)


def turning(frames, draw, count, size, colours, fall):
    """Leaves or confetti: ellipses that fall, sway and tumble, so that they are now broad, now
    thin, now light, now dark.
    """
    for _ in range(count):
        place = draw.uniform((-HEIGHT, 0), (HEIGHT, WIDTH))
        colour, radius = np.array(colours[draw.integers(len(colours))]), draw.uniform(*size)
        step, phase, rate = draw.uniform(*fall), draw.uniform(0, 6.28), draw.uniform(0.2, 0.7)
        drift = draw.uniform(-1, 1)
        for k, frame in enumerate(frames):
            angle = phase + rate * k
            middle = (place[1] + drift * k + 3 * np.sin(angle), place[0] + step * k)
            layer = np.zeros((HEIGHT, WIDTH), np.float32)
            axes = (max(1.0, 2 * radius), max(1.0, 2 * radius * abs(np.cos(angle))))
            shape = (middle, axes, np.degrees(angle / 2))
            cv2.ellipse(layer, shape, 1.0, -1, cv2.LINE_AA)
            light = 0.75 + 0.25 * np.cos(angle)
            frame += cv2.GaussianBlur(layer, (3, 3), 0.6)[..., None] * (colour * light - frame)
    return frames


WHITE, PALE = [(250, 250, 250)], [(215, 220, 228)]
GLOW = [(255, 210, 120), (255, 240, 200), (255, 160, 60)]
AUTUMN = [(190, 110, 40), (150, 60, 30), (200, 160, 50)]
PARTY = [(230, 60, 60), (60, 90, 230), (250, 220, 60), (60, 190, 90), (240, 120, 220)]
DOWN = ((2.0, 5.0), (-1.0, 1.0))

SCENES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "calm": lambda draw: subject(ground(draw), draw, 1.5),
    "calm, pale ground": lambda draw: subject(ground(draw, level=222, spread=6), draw, 1.5),
    "pan": lambda draw: ground(draw, (0.0, 2.0)),
    "pan and subject": lambda draw: subject(ground(draw, (0.6, -1.3)), draw, 3),
    "fast pan": lambda draw: ground(draw, (-1.0, 5.0)),
    "light snow": lambda draw: dots(subject(ground(draw), draw), draw, 25, (0.8, 1.6), DOWN, WHITE),
    "snow": lambda draw: dots(ground(draw), draw, 70, (0.7, 1.8), DOWN, WHITE, sway=3),
    "snow and pan": lambda draw: dots(
        ground(draw, (0.0, 1.5)), draw, 60, (0.7, 1.8), DOWN, WHITE, sway=2
    ),
    "heavy snow": lambda draw: dots(
        ground(draw, level=150), draw, 200, (0.6, 2.2), ((3.0, 8.0), (-3.0, 0.0)), WHITE
    ),
    "rain": lambda draw: dots(
        ground(draw, level=90), draw, 60, (0.5, 0.6), ((12, 18), (1.0, 2.0)), PALE, long=0.6
    ),
    "rain and pan": lambda draw: dots(
        ground(draw, (0.0, 1.0), level=90), draw, 40, (0.5, 0.7), ((9, 14), (-3, -2)), PALE, 0.7
    ),
    "sparks": lambda draw: dots(
        ground(draw, level=45, spread=14), draw, 40, (0.5, 1.2), ((-7, -2), (-4, 4)), GLOW, 0.5,
        life=7,
    ),
    "leaves": lambda draw: turning(ground(draw), draw, 24, (2.0, 5.0), AUTUMN, (1.0, 3.0)),
    "leaves and pan": lambda draw: turning(
        ground(draw, (0.0, -1.5)), draw, 24, (2.0, 5.0), AUTUMN, (1.0, 3.0)
    ),
    "confetti": lambda draw: turning(ground(draw), draw, 70, (1.0, 2.2), PARTY, (1.5, 4.0)),
}  # fmt: skip


def scene(name: str) -> np.ndarray:
    """uint8 [f, h, w, 3], with the grain of a camera."""
    draw = np.random.default_rng(list(SCENES).index(name))
    frames = SCENES[name](draw)
    grain = 1.2 * draw.standard_normal((*frames.shape[:3], 1), np.float32)
    return np.clip(np.rint(frames + grain), 0, 255).astype(np.uint8)


def recording(file: Path) -> np.ndarray:
    """The first frames of a recording, brought to the size."""
    frames = Clip.load(file).over("white").frames[:FRAMES]
    return np.stack(
        [cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for one in frames]
    )


# ---- damages


def specked(frames, draw) -> Damaged:
    """Dirt: 24 one-frame specks, light and dark, of two to six pixels."""
    broken, damages = frames.copy(), []
    for index in range(SPECKS):
        k = int(draw.integers(1, len(frames) - 1))
        mask = speck(draw)
        broken[k][mask] = (248, 246, 240) if index % 2 else (18, 14, 12)
        damages.append(Damage(kind="speck", first=k, last=k, mask=mask))
    return Damaged(broken, damages)


def speck(draw) -> np.ndarray:
    """Where one lies: an uneven blob."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    y, x = draw.integers(8, HEIGHT - 8), draw.integers(8, WIDTH - 8)
    axes = (float(draw.uniform(2, 6)), float(draw.uniform(2, 5)))
    cv2.ellipse(mask, ((float(x), float(y)), axes, float(draw.uniform(0, 180))), 1, -1)
    return mask > 0


def scratched(frames, draw) -> Damaged:
    """A scratch over most of the height, that wanders by a pixel now and then."""
    broken, light = frames.copy(), 1 if draw.random() < 0.5 else -1
    column = int(draw.integers(WIDTH // 4, 3 * WIDTH // 4))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for k in range(len(frames)):
        here = column + round(1.5 * np.sin(k / 6))
        mask[:, here : here + 2] = True
        moved = broken[k, :, here : here + 2].astype(int) + light * 60
        broken[k, :, here : here + 2] = np.clip(moved, 0, 255)
    return Damaged(broken, [whole("scratch", 0, len(frames) - 1, mask)])


def lost(frames, draw) -> Damaged:
    """A black frame and one of noise."""
    broken = frames.copy()
    first, second = 6, 15
    broken[first] = 0
    broken[second] = draw.integers(0, 256, frames[0].shape)
    return Damaged(broken, [whole("lost frame", k, k) for k in (first, second)])


def doubled(frames, draw) -> Damaged:
    """Two frames that the one before stands in for."""
    broken = frames.copy()
    places = (7, 16)
    for k in places:
        broken[k] = broken[k - 1]
    return Damaged(broken, [whole("doubled frame", k, k) for k in places])


def torn(frames, draw) -> Damaged:
    """Two frames whose lower part has slipped sideways."""
    broken, damages = frames.copy(), []
    for k in (5, 17):
        row = int(draw.integers(HEIGHT // 4, 3 * HEIGHT // 4))
        slip = int(draw.integers(10, 30)) * (1 if draw.random() < 0.5 else -1)
        broken[k, row:] = np.roll(frames[k, row:], slip, axis=1)
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[row:] = True
        damages.append(whole("torn frame", k, k, mask))
    return Damaged(broken, damages)


def branded(frames, draw) -> Damaged:
    """A logo in a corner, half of the time seen through."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    left = 8 if draw.random() < 0.5 else WIDTH - 40
    cv2.putText(drawn, "TV", (left, 24), cv2.FONT_HERSHEY_DUPLEX, 0.7, 255, 2, cv2.LINE_AA)
    layer = drawn.astype(np.float32) / 255
    share = layer[..., None] * (1.0 if draw.random() < 0.5 else 0.7)
    broken = (frames * (1 - share) + 240 * share).round().astype(np.uint8)
    return Damaged(broken, [whole("logo", 0, len(frames) - 1, layer > 0.3)])


def blocky(frames, draw) -> Damaged:
    """Coded too hard: the coefficients of 8 x 8 blocks in steps of 60 levels."""
    steps = np.full((8, 8), 60, np.float32) + 12 * np.add.outer(range(8), range(8))
    broken = frames.copy()
    for frame in broken:
        for top in range(0, HEIGHT, 8):
            for left in range(0, WIDTH, 8):
                part = frame[top : top + 8, left : left + 8]
                for channel in range(3):
                    kept = cv2.dct(part[..., channel].astype(np.float32) - 128) / steps
                    back = cv2.idct(np.rint(kept) * steps) + 128
                    part[..., channel] = np.clip(np.rint(back), 0, 255)
    return Damaged(broken, [whole("blocking", 0, len(frames) - 1)])


def flickering(frames, draw) -> Damaged:
    """Brightness that goes up and down."""
    gains = 1 + 0.07 * draw.choice([-1, 1], len(frames)) * draw.uniform(0.6, 1.4, len(frames))
    broken = np.clip(np.rint(frames * gains[:, None, None, None]), 0, 255).astype(np.uint8)
    return Damaged(broken, [whole("flicker", 0, len(frames) - 1)])


def whole(kind, first, last, mask=None) -> Damage:
    """Damage of a frame, or of a part of it."""
    everywhere = np.ones((HEIGHT, WIDTH), bool)
    return Damage(kind=kind, first=first, last=last, mask=everywhere if mask is None else mask)


def untouched(frames, draw) -> Damaged:
    """Nothing is broken."""
    return Damaged(frames, [])


DAMAGES: dict[str, Callable[..., Damaged]] = {
    "none": untouched,
    "specks": specked,
    "scratch": scratched,
    "lost frames": lost,
    "doubled frames": doubled,
    "torn frames": torn,
    "logo": branded,
    "blocking": blocky,
    "flicker": flickering,
}


# ---- figures


def measure(truth: np.ndarray, name: str, crf: int | None = CRF, seed: int = 0) -> Measured:
    """Damage, send, mend, compare."""
    draw = np.random.default_rng((seed, list(DAMAGES).index(name)))
    damaged = DAMAGES[name](truth, draw)
    given = damaged.frames if crf is None else coded(damaged.frames, "h264", crf)
    return compare(truth, given, damaged.damages, mended(Clip(given)))


def compare(truth, given, damages, repair: Repair) -> Measured:
    """What was found, and how near the scene it came."""
    met = [
        [one.overlaps(each.first, each.last, each.box) for one in damages] for each in repair.found
    ]
    right = [
        [one.kind == each.kind and hit for one, hit in zip(damages, hits, strict=True)]
        for each, hits in zip(repair.found, met, strict=True)
    ]
    found = np.array(right).reshape(len(repair.found), len(damages)).any(axis=0)
    false = sum(not any(hits) for hits in met)
    broken = np.zeros(truth.shape[:3], bool)
    for one in damages:
        broken[one.first : one.last + 1] |= one.mask
    return Measured(
        len(damages),
        int(found.sum()),
        false,
        ratios(truth, given, repair, broken & repair.known),
        ratios(truth, given, repair, ~broken & repair.known),
    )


def ratios(truth, given, repair, where) -> tuple[float, float]:
    """PSNR of these pixels before and after, in dB; nan where there are none."""
    if not where.any():
        return float("nan"), float("nan")
    return tuple(
        10 * np.log10(255**2 / max(error(truth, frames, where), 1e-3))
        for frames in (given, repair.frames)
    )


def error(truth, frames, where) -> float:
    """Mean square."""
    return float(np.mean((truth[where].astype(np.float32) - frames[where]) ** 2))


def scenes(footage: list[Path], names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """All scenes, drawn and recorded."""
    yield from ((name, scene(name)) for name in names)
    yield from ((file.name, recording(file)) for file in footage)


def row(name: str, rows: dict[str, Measured]) -> list[str]:
    """A damage over all scenes."""
    each = list(rows.values())
    count, found = sum(one.count for one in each), sum(one.found for one in each)
    lost_most = max(one.sound[0] - one.sound[1] for one in each)
    noisy = sum(one.false > MOST_FALSE for one in each)
    broken = np.nanmean([one.broken for one in each], axis=0) if count else (np.nan, np.nan)
    return [
        name,
        str(count),
        f"{found} ({100 * found / count:.0f} %)" if count else "-",
        f"{np.mean([one.false for one in each]):.2f}",
        f"{noisy} of {len(each)}",
        f"{broken[0]:.1f} to {broken[1]:.1f}",
        f"{lost_most:.2f}",
    ]


HEAD = [
    "damage",
    "put in",
    "found",
    "false a clip",
    "clips with more than one",
    "damaged pixels, dB",
    "sound pixels lose at most, dB",
]


def main() -> None:
    """A table of damages, and on request one of scenes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--footage", type=Path, nargs="*", default=[])
    parser.add_argument("--scenes", nargs="*", default=list(SCENES))
    parser.add_argument("--damages", nargs="*", default=list(DAMAGES))
    parser.add_argument("--each", action="store_true", help="every clip in a line")
    options = parser.parse_args()
    truths = dict(scenes(options.footage, options.scenes))
    table = [HEAD]
    for damage in options.damages:
        rows = {name: measure(truth, damage) for name, truth in truths.items()}
        table.append(row(damage, rows))
        if options.each:
            print(markdown([HEAD, *(row(name, {name: one}) for name, one in rows.items())]))
    print(f"{len(truths)} scenes\n\n{markdown(table)}")


if __name__ == "__main__":
    main()
