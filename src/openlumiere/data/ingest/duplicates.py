"""Clips that look the same, by their perceptual hashes."""

from __future__ import annotations

from collections import defaultdict

BITS = 192


class Seen:
    """Hashes of kept clips; finds one within `distance` bits of another without comparing all.

    The bits are cut into `distance` + 1 bands: of two hashes that differ in at most `distance`
    bits, one band at least is equal, so only clips that share a band are compared.
    """

    def __init__(self, distance: int):
        self.distance = distance
        self.width = BITS // (distance + 1)
        self.bands: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(distance + 1)]
        self.hashes: list[int] = []
        self.keys: list[str] = []

    def find(self, phash: str) -> str | None:
        """The key of the first kept clip that looks like this one."""
        value = int(phash, 16)
        near = (
            other
            for band, clips in zip(self._cut(value), self.bands)
            for other in clips.get(band, ())
            if (self.hashes[other] ^ value).bit_count() <= self.distance
        )
        first = min(near, default=None)
        return None if first is None else self.keys[first]

    def keep(self, key: str, phash: str) -> None:
        """Remember a clip."""
        value = int(phash, 16)
        for band, clips in zip(self._cut(value), self.bands):
            clips[band].append(len(self.hashes))
        self.hashes.append(value)
        self.keys.append(key)

    def _cut(self, value: int) -> list[int]:
        """Bands of `width` bits; the last takes what is left over."""
        last = self.distance * self.width
        mask = (1 << self.width) - 1
        return [value >> place & mask for place in range(0, last, self.width)] + [value >> last]
