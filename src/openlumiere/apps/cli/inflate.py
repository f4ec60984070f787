"""`lumiere inflate MODEL -o DIR`: a text-to-image model becomes a video model to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.media.write import check_folder, write_beside


@dataclass(frozen=True, kw_only=True)
class Inflate:
    """Inflate a text-to-image model in time. Before training, its clips are the model's own
    pictures, still; a table says what sampling and training take.
    """

    model: Positional[str]
    """A folder of Stable Diffusion 1 or 2, SDXL or DeepFloyd IF, or owner/name on the hub."""
    output: Annotated[Path, arg(aliases=("-o",), metavar="DIR")]
    """A new folder, in diffusers' layout, for `--model` and for training."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision in which it is kept."""


def main(words: list[str]) -> int:
    """Write the folder and print the table."""
    options = parse(Inflate, words, "inflate")
    check_folder(options.output.absolute().parent)
    if options.output.exists():
        raise ValueError(
            f"output: expected a new folder, got {options.output} that is there, name another"
        )
    # torch, after what can be wrong in the words
    from openlumiere.engine.inflate import costs, inflated_pipeline, save_inflated, table
    from openlumiere.engine.precision import dtype_of

    pipeline = inflated_pipeline(options.model, dtype_of(options.dtype, "cpu"))
    for line in table(pipeline, costs(pipeline)):
        print(line)
    name = options.output.name

    def save(folder: Path) -> None:
        save_inflated(pipeline, folder, options.model, name)

    write_beside(options.output.absolute(), save)
    print(options.output)
    return 0
