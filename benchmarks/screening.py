"""Which prompts are refused: `python benchmarks/screening.py tests/provenance/prompts.csv` prints the table of docs/trust.md.

The prompts were written by who wrote the lists, so "in the lists' words" says little; "in other words" were written to be missed. Those of
`prompts_unseen.csv` were written when the lists, the sentences and the threshold stood, which were not touched since.
`python benchmarks/screening.py --write` encodes the sentences of the rules anew, into the file that the package carries.
"""

import csv
import sys
from collections import Counter

from safetensors.torch import save_file

from openlumiere.provenance.screen import find, find_words
from openlumiere.provenance.similarity import DIRECTIONS, encode_sentences


def main(path: str) -> None:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts, by_words, seen = Counter(), Counter(), Counter()
    for row in rows:
        finding = find(row["prompt"])
        group = row["expected"], row["kind"], row["language"]
        seen[group] += 1
        counts[group] += finding is not None
        by_words[group] += find_words(row["prompt"]) is not None
        if (finding is None) == (row["expected"] == "refuse"):
            print("missed " if finding is None else "false  ", row["kind"] or "plain", row["language"], row["prompt"], sep="\t")
    for expected, kinds in (("allow", ("", "near")), ("refuse", ("minors", "people", "harm"))):
        for kind in kinds:
            groups = [(expected, kind, language) for language in ("en", "it", "es", "fr", "de")]
            cells = [f"{counts[group]}/{seen[group]}" for group in groups]
            total = [sum(count[group] for group in groups) for count in (by_words, counts, seen)]
            print(f"| {expected} | {kind or 'plain'} | {' | '.join(cells)} | {total[0]} by words, {total[1]} in all, of {total[2]} |")


def write_directions() -> None:
    save_file({kind: rows.half().contiguous() for kind, rows in encode_sentences().items()}, DIRECTIONS)


if __name__ == "__main__":
    write_directions() if sys.argv[1:] == ["--write"] else main(sys.argv[1])
