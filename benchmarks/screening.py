"""Which prompts are refused, for docs/trust.md.

    python benchmarks/screening.py tests/safety/prompts.csv  # its table, and each mistake
    python benchmarks/screening.py captions  # of the sticker world's captions
    python benchmarks/screening.py curve tests/safety/prompts_held_out.csv  # by threshold

A refusal counts where it should be only under the rule that it should be under. All prompts are of
one hand; `prompts_held_out.csv` was written when words, nets and thresholds stood.
"""

import csv
import sys
from collections import Counter

from openlumiere.safety.prompts import THRESHOLDS, find, scores
from openlumiere_world.names import LANGUAGES, caption_rows

SHIFTS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
CAPTIONS = ("name_en", "appearance_en", "motion_en", "motion_it")


def main(path: str) -> None:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts, by_words, seen = Counter(), Counter(), Counter()
    for row in rows:
        against = [
            finding for finding in find(row["prompt"]) if row["kind"] in (finding.rule, "", "near")
        ]
        group = row["expected"], row["kind"], row["language"]
        seen[group] += 1
        counts[group] += bool(against)
        by_words[group] += any(finding.words for finding in against)
        if bool(against) != (row["expected"] == "refuse"):
            print(
                "false  " if against else "missed ",
                row["kind"] or "plain",
                row["language"],
                row["prompt"],
                sep="\t",
            )
    for expected, kinds in (("allow", ("", "near")), ("refuse", ("minors", "people", "harm"))):
        for kind in kinds:
            groups = [(expected, kind, language) for language in LANGUAGES]
            cells = [f"{counts[group]}/{seen[group]}" for group in groups]
            totals = [
                f"{sum(count[group] for group in groups)}/{sum(seen[group] for group in groups)}"
                for count in (by_words, counts)
            ]
            print(f"| {expected} | {kind or 'plain'} | {' | '.join(cells + totals)} |")


def tell_captions() -> None:
    captions = {
        row[column]
        for source in ("fluent", "noto")
        for row in caption_rows(source)
        for column in CAPTIONS
    }
    refused = [caption for caption in sorted(captions) if find(caption)]
    print(f"{len(refused)} of {len(captions)} captions refused:", *refused, sep="\n")


def tell_curve(path: str) -> None:
    """False and true refusals for a shift of all thresholds."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print("| threshold | false | true |\n|---|---|---|")
    for shift in SHIFTS:
        wrong, right = refusals(rows, shift)
        print(f"| {shift:+.1f} | {wrong} | {right} |")


def refusals(rows: list[dict[str, str]], shift: float) -> tuple[str, str]:
    """False and true refusals with all thresholds moved by `shift`."""
    counts = Counter()
    for row in rows:
        likely = {
            rule
            for rule, score in scores(row["prompt"]).items()
            if score > THRESHOLDS[rule] + shift
        }
        found = likely | {each.rule for each in find(row["prompt"]) if each.words}
        refused = row["kind"] in found if row["expected"] == "refuse" else bool(found)
        counts[row["expected"]] += refused
        counts[row["expected"], "all"] += 1
    return tuple(f"{counts[kind]} of {counts[kind, 'all']}" for kind in ("allow", "refuse"))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "curve":
        tell_curve(sys.argv[2])
    elif sys.argv[1:] == ["captions"]:
        tell_captions()
    elif len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        sys.exit(__doc__)
