"""What training may see: a hash keeps 5 % of the (subject, motion, background) combinations, and
one style, for tests.
"""

import hashlib

from openlumiere_world.sources import HELD_OUT_STYLE

SPLITS = {
    "train": "what models learn from",
    "validation": "the same combinations as training, other clips",
    "composition": "combinations that training never shows of what it does show",
    "style": f"subjects in the style '{HELD_OUT_STYLE}', which training never shows",
}
HELD_OUT = 0.05


def held_out(subject: str, motion: str, background: str) -> bool:
    """Whether this combination is kept out of training. Skin tones of a subject go together: pass
    its base.
    """
    digest = hashlib.sha256(f"{subject}|{motion}|{background}".encode()).digest()
    return int.from_bytes(digest[:8]) < HELD_OUT * 2**64


def admits(split: str, subjects: tuple[str, ...], motion: str, background: str) -> bool:
    """Whether a clip of this split may show these subjects under this motion on this background."""
    held = [held_out(subject, motion, background) for subject in subjects]
    if split == "style":
        return True
    return any(held) if split == "composition" else not any(held)


def style_allowed(split: str, style: str) -> bool:
    """Whether a split draws this style."""
    return (style == HELD_OUT_STYLE) == (split == "style")


def check(split: str) -> None:
    """Raise ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(
            f"expected a split among {', '.join(SPLITS)}, got {split!r}: use one of those"
        )
