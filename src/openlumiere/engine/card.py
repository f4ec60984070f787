"""A model's card and its way to the hub, both by huggingface_hub."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard, ModelCardData, create_repo, upload_folder

from openlumiere.media.digest import sha256_of_file
from openlumiere.models.folder import CHECKSUMS

if TYPE_CHECKING:
    from openlumiere.engine.base import CheckedPipeline

CARD = "README.md"
TEXT = """---
{header}
---

# {title}

A space-time U-Net for video by openlumiere, in diffusers' layout.
{origin}
| component | class | parameters |
| --- | --- | --- |
{parts}

Weights and configs are pinned by `{checksums}`, whose sha256 is `{digest}`.

```
lumiere generate "a red cat" --model {name} -o cat.mp4
```

```python
from openlumiere import Lumiere

clip = Lumiere.from_pretrained("{name}").generate("a red cat")
clip.save("cat.mp4")
```

Clips carry a mark in their pixels and a signed manifest; `lumiere verify FILE` reads both.
"""
INFLATED = """
It was inflated from `{base}` and has not been trained: its clips are that model's own pictures,
still. Its licence is that model's.
"""


def write_card(
    folder: Path, pipeline: CheckedPipeline, name: str, base_model: str | None = None
) -> None:
    """Write the card of a pipeline that was saved in `folder` and will be known by `name`;
    `base_model` is what it was inflated from.
    """
    header = ModelCardData(
        library_name="openlumiere",
        pipeline_tag="text-to-video",
        tags=["text-to-video", "video-inpainting", "diffusers"],
        base_model=base_model,
    )
    text = TEXT.format(
        header=header.to_yaml(),
        title=name.rsplit("/", 1)[-1],
        origin="" if base_model is None else INFLATED.format(base=base_model),
        parts="\n".join(part_rows(pipeline)),
        checksums=CHECKSUMS,
        digest=sha256_of_file(folder / CHECKSUMS),
        name=name,
    )
    ModelCard(text).save(folder / CARD)


def part_rows(pipeline: CheckedPipeline) -> list[str]:
    """A row a component."""
    rows = []
    for name, part in pipeline.components.items():
        if part is not None:
            numbers = getattr(part, "num_parameters", None)
            count = "" if numbers is None else f"{numbers():,}"
            rows.append(f"| {name} | `{type(part).__name__}` | {count} |")
    return rows


def push(pipeline: CheckedPipeline, name: str, private: bool, token: str | None) -> str:
    """Upload weights, configs and card as `owner/name` of the hub; the address of the commit."""
    with TemporaryDirectory() as work:
        folder = Path(work)
        pipeline.save_pretrained(folder)
        created = create_repo(name, private=private, token=token, exist_ok=True)
        write_card(folder, pipeline, created.repo_id)
        return str(upload_folder(repo_id=created.repo_id, folder_path=folder, token=token))
