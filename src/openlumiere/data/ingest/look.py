"""A page to look at shards with: strips of clips with captions and measures, and what was dropped.

One HTML file with the pictures inside it, so that it can be sent; nothing in it is loaded or run.
"""

from __future__ import annotations

import base64
import html
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from openlumiere.data.ingest.digest import Row
from openlumiere.data.ingest.journal import write_text
from openlumiere.data.ingest.pictures import strip
from openlumiere.data.ingest.shardset import Shards

Item = TypeVar("Item")
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .15em 1em .15em 0; text-align: left; }
figure { margin: 1.2em 0; } figcaption { margin-top: .2em; }
img { display: block; max-width: 100%; }
small { color: #666; overflow-wrap: anywhere; } .why { color: #a00; }
@media (prefers-color-scheme: dark) {
body { background: #111; color: #ddd; } .why { color: #f88; } }
"""


def look(shards: Shards, page: Path, count: int = 48) -> Path:
    """Write a page of `count` kept and as many dropped clips, spread evenly over all of them."""
    kept = [_kept(shards, number) for number in spread(range(len(shards)), count)]
    left_out = shards.dropped()
    dropped = [_dropped(row) for row in spread(left_out, count)]
    problems = [
        f"<li>{html.escape(line['file'])}: {_why(line['reason'])}</li>"
        for line in shards.problems()
    ]
    parts = [
        _head(shards),
        f"<h2>{len(kept)} of {len(shards)} clips</h2>",
        *kept,
        f"<h2>{len(dropped)} of {len(left_out)} that were left out</h2>",
        _reasons(left_out),
        *dropped,
        f"<h2>{len(problems)} files that could not be read</h2><ul>",
        *problems,
        "</ul>",
    ]
    write_text(page, "\n".join(parts))
    return page


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, evenly from first to last."""
    most = min(count, len(items))
    return [items[number * len(items) // most] for number in range(most)]


def _head(shards: Shards) -> str:
    facts, config = shards.facts, shards.config
    rows = {
        "files": facts["files"],
        "clips": f"{len(shards)}, {facts['seconds'] / 60:.1f} minutes",
        "each": f"{config.frames} frames of {config.side} x {config.side} at {config.fps} a second",
        "left out": facts["dropped"],
        "licences": _counted(row["licence"] or "not stated" for row in shards.rows),
        "flags": _counted(flag for row in shards.rows for flag in row["flags"].split(",") if flag),
    }
    cells = "".join(f"<tr><th>{name}<td>{html.escape(str(row))}" for name, row in rows.items())
    title = html.escape(shards.folder.name)
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><table>{cells}</table>"
    )


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{word} ({number})" for word, number in Counter(words).most_common(20))


def _reasons(rows: list[Row]) -> str:
    """How often each reason, without its numbers, was given."""
    counts = Counter(
        part.partition(":")[0].partition(" of ")[0]
        for row in rows
        for part in row["dropped"].split("; ")
    )
    cells = "".join(f"<tr><th>{html.escape(why)}<td>{count}" for why, count in counts.most_common())
    return f"<table>{cells}</table>"


def _kept(shards: Shards, number: int) -> str:
    data = base64.b64encode(strip(shards.frames(number))).decode()
    return _figure(shards.rows[number], data)


def _dropped(row: Row) -> str:
    return _figure(row, row["strip"], f"{_why(row['dropped'])}<br>")


def _why(reason: str) -> str:
    return f"<span class=why>{html.escape(reason)}</span>"


def _figure(row: Row, data: str, why: str = "") -> str:
    picture = f'<img alt="" src="data:image/webp;base64,{data}">'
    scores = json.loads(row["scores"])
    measures = {"motion": row["motion"], "light": row["light"], **scores}
    said = ", ".join(f"{name} {value:.3g}" for name, value in measures.items())
    flags = f", {row['flags']}" if row["flags"] else ""
    end = row["start"] + row["seconds"]
    place = f"{row['source']} {row['start']:.2f} to {end:.2f} s"
    return (
        f"<figure>{picture}<figcaption>{why}{html.escape(row['caption'])}"
        f"<br><small>{html.escape(f'{place}; {said}{flags}')}</small></figcaption></figure>"
    )
