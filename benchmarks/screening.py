"""Which prompts are refused, for docs/trust.md.

    python benchmarks/screening.py tests/safety/prompts.csv     # its table, and each mistake
    python benchmarks/screening.py captions                         # of the world's captions,
    nobody's business to refuse
    python benchmarks/screening.py write                            # encodes the rules' sentences
    anew into the file that the package carries

The prompts were written by who wrote the lists, so "in the lists' words" says little; "in other
words" were written to be missed. A refusal counts where it should be only under the rule that it
should be under. `prompts_unseen.csv` was written when the lists and the rules' sentences stood.
"""

import csv
import sys
from collections import Counter

from safetensors.torch import save_file

from openlumiere.safety.likeness import DIRECTIONS, encode_sentences
from openlumiere.safety.prompts import find
from openlumiere_world.names import LANGUAGES, caption_rows

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


def write_directions() -> None:
    save_file(
        {kind: rows.half().contiguous() for kind, rows in encode_sentences().items()}, DIRECTIONS
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write_directions()
    elif sys.argv[1:] == ["captions"]:
        tell_captions()
    elif len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        sys.exit(__doc__)
