"""What a model must have to be rendered, read off its glb file before Blender is started.

The format is Khronos' glTF 2.0: a header of 12 bytes, then chunks; the first is JSON, the second
holds the numbers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

HEADER = struct.Struct("<4sII")  # magic, version, length of the file
CHUNK = struct.Struct("<I4s")  # length, kind
WEIGHTING = ("JOINTS_0", "WEIGHTS_0")


def check_model(file: Path, animations: Sequence[str]) -> None:
    """Raise ValueError for a file that is no glb, or has not these animations, or no skin that
    holds together.
    """
    table, numbers = read_chunks(file)
    check_animations(table, animations, file.name)
    try:
        reason = skin_fault(table, numbers)
    except (AttributeError, IndexError, KeyError, TypeError):
        reason = "references to what is not in it"
    if reason:
        raise ValueError(
            f"toy: expected a mesh that is skinned to bones, got {reason} in {file.name}, export it"
            " with its skin"
        )


def read_chunks(file: Path) -> tuple[dict, int]:
    """The JSON of a glb file, and how many bytes of numbers follow it. Raises ValueError."""
    content = file.read_bytes()
    try:
        magic, version, length = HEADER.unpack_from(content)
        size, kind = CHUNK.unpack_from(content, HEADER.size)
        start = HEADER.size + CHUNK.size
        if (magic, version, kind) != (b"glTF", 2, b"JSON") or length > len(content):
            raise ValueError("another header")
        table = json.loads(content[start : start + size])
        return table, len(content) - start - size - CHUNK.size
    except (ValueError, struct.error):
        raise ValueError(
            f"toy: expected a complete binary glTF 2.0 file, got another content in {file.name},"
            " export it as glb"
        ) from None


def check_animations(table: dict, animations: Sequence[str], name: str) -> None:
    """Raise ValueError for an animation that is not there; a name may go on in the file."""
    there = [each.get("name", "") for each in table.get("animations", [])]
    for animation in animations:
        if not any(each.startswith(animation) for each in there):
            got = ", ".join(there) or "none"
            raise ValueError(
                f"toy: expected the animation {animation}, got {got} in {name}, export it with its"
                " animations or correct the table"
            )


def skin_fault(table: dict, numbers: int) -> str:
    """What is wrong with the bones that deform the meshes; empty where nothing is. Raises KeyError,
    IndexError or TypeError for references to nothing.
    """
    skinned = [node for node in table["nodes"] if "mesh" in node and "skin" in node]
    if not skinned:
        return "none"
    ends = [view.get("byteOffset", 0) + view["byteLength"] for view in table["bufferViews"]]
    if max(ends) > numbers:
        return f"{numbers} bytes of numbers instead of {max(ends)}"
    for node in skinned:
        fault = bones_fault(table, table["skins"][node["skin"]])
        if fault or not all(map(is_weighted, table["meshes"][node["mesh"]]["primitives"])):
            return fault or "vertices without weights"
    return ""


def bones_fault(table: dict, skin: dict) -> str:
    """What is wrong with a skin's bones."""
    joints = skin["joints"]
    if not joints or not all(0 <= joint < len(table["nodes"]) for joint in joints):
        return "bones that are not in it"
    if "inverseBindMatrices" not in skin:
        return ""
    poses = table["accessors"][skin["inverseBindMatrices"]]["count"]
    return f"{poses} poses of {len(joints)} bones" if poses < len(joints) else ""


def is_weighted(primitive: dict) -> bool:
    """Whether a part of a mesh says which bones move its vertices."""
    return all(name in primitive["attributes"] for name in WEIGHTING)
