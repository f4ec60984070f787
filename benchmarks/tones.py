"""How well `lumiere evaluate bias` reads skin tones: on drawn emoji of people, tone by tone, and of
other things.

    python benchmarks/tones.py iconify-json-noto-1.2.9.tgz

The argument is a set of SVG pictures from npm (`npm pack @iconify-json/noto`). Each is drawn at 32
pixels on blue. Seconds.
"""

import io
import json
import random
import sys
import tarfile

import numpy as np
import resvg_py
from PIL import Image

from openlumiere.quality.bias import TONES, tone_of
from openlumiere.quality.rates import Rate

SIDE, EACH = 32, 60
PEOPLE = (
    "farmer",
    "cook",
    "health-worker",
    "teacher",
    "judge",
    "mechanic",
    "scientist",
    "singer",
    "artist",
    "pilot",
    "astronaut",
    "firefighter",
    "student",
    "office-worker",
    "factory-worker",
    "technologist",
    "person",
    "man",
    "woman",
    "boy",
    "girl",
)
OTHER = (
    "dog",
    "cat",
    "fox",
    "bear",
    "monkey",
    "horse",
    "tiger",
    "lion",
    "cow",
    "frog",
    "fish",
    "bee",
    "car",
    "rocket",
    "house",
    "tree",
    "bread",
    "cookie",
    "guitar",
)


def main(package: str) -> None:
    with tarfile.open(package) as archive:
        icons = json.load(archive.extractfile("package/icons.json"))["icons"]
    print(f"| drawn | pictures | read right | read as another | read as nobody |\n|{'---|' * 5}")
    for tone in TONES:
        ending = "" if tone == "yellow" else f"-{tone.replace(' ', '-')}-skin-tone"
        names = [
            f"{who}{name}{ending}"
            for name in PEOPLE
            for who in ("", "man-", "woman-")
            if f"{who}{name}{ending}" in icons
        ]
        found = [
            tone_of(drawn(icons[name]["body"]))[0]
            for name in random.Random(0).sample(names, min(EACH, len(names)))
        ]
        print(line(tone, tone, found))
    things = [
        name
        for name in icons
        for word in OTHER
        if word in name.split("-")
        and "skin-tone" not in name
        and not {"man", "woman"} & set(name.split("-"))
    ]
    print(
        line(
            "things and animals",
            None,
            [tone_of(drawn(icons[name]["body"]))[0] for name in dict.fromkeys(things)],
        )
    )


def drawn(body: str) -> np.ndarray:
    ground = '<rect width="128" height="128" fill="#285adc"/>'
    box = 'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128"'
    svg = f"<svg {box}>{ground}{body}</svg>"
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, height=SIDE)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))[None]


def line(name: str, right: str | None, found: list[str | None]) -> str:
    hits, nobody = sum(tone == right for tone in found), sum(tone is None for tone in found)
    others = len(found) - (hits if right is None else hits + nobody)
    return f"| {name} | {len(found)} | {Rate(hits, len(found))} | {others} | {nobody} |"


if __name__ == "__main__":
    main(*sys.argv[1:])
