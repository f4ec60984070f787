"""What a mark says: which model, which clip, and a code that carries it through losses."""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MODEL_BITS, CLIP_BITS, CHECK_BITS = 16, 32, 16
BITS = MODEL_BITS + CLIP_BITS + CHECK_BITS

MEMORY = 8  # of the convolutional code
GENERATORS = (
    0o463,
    0o535,
    0o733,
    0o745,
)  # rate 1/4, constraint length 9, free distance 24 (Larsen 1973)
STATES = 1 << MEMORY
CODED_BITS = (BITS + MEMORY) * len(GENERATORS)


@dataclass(frozen=True, kw_only=True)
class Payload:
    """48 bits: `model` (16) names the weights, `clip` (32) the replay record. Raises ValueError for
    more bits than that.
    """

    model: int
    clip: int

    def __post_init__(self) -> None:
        for name, value, bits in (
            ("model", self.model, MODEL_BITS),
            ("clip", self.clip, CLIP_BITS),
        ):
            if not 0 <= value < 1 << bits:
                raise ValueError(
                    f"payload: expected a {name} id from 0 to 2**{bits} - 1, got {value}, "
                    "derive it with Payload.of"
                )

    @classmethod
    def of(cls, model: str, record: str) -> Payload:
        """From a model's sha256 in hex and the text of a replay record: the same record, the same
        payload.
        """
        digest = hashlib.sha256(record.encode()).digest()
        return cls(
            model=int(model[: MODEL_BITS // 4], 16),
            clip=int.from_bytes(digest[: CLIP_BITS // 8], "big"),
        )

    def __str__(self) -> str:
        return f"{self.model:04x}-{self.clip:08x}"

    def bits(self) -> np.ndarray:
        """0 or 1, [64]: both ids and their CRC-16 (CCITT)."""
        said = (self.model << CLIP_BITS | self.clip).to_bytes((MODEL_BITS + CLIP_BITS) // 8, "big")
        return np.unpackbits(
            np.frombuffer(said + binascii.crc_hqx(said, 0xFFFF).to_bytes(2, "big"), np.uint8)
        )

    @classmethod
    def read(cls, bits: np.ndarray) -> Payload | None:
        """The payload of [64] bits, or None where the check fails."""
        said = int.from_bytes(np.packbits(bits.astype(np.uint8)).tobytes(), "big") >> CHECK_BITS
        payload = cls(model=said >> CLIP_BITS, clip=said & ((1 << CLIP_BITS) - 1))
        return payload if np.array_equal(payload.bits(), bits) else None


def encode(bits: np.ndarray) -> np.ndarray:
    """Bits [64] as coded signs [288], +1 for a 0: a convolutional code brought back to its first
    state at the end.
    """
    signs, state = [], 0
    for bit in [*bits, *[0] * MEMORY]:
        register = state | int(bit) << MEMORY
        signs += [1 - 2 * ((register & generator).bit_count() & 1) for generator in GENERATORS]
        state = register >> 1
    return np.array(signs, np.int8)


def decode(soft: Float[np.ndarray, "288"]) -> np.ndarray:
    """The bits [64] whose code has the largest sum of products with `soft` (Viterbi 1967)."""
    before, branch = trellis()
    gains = soft.reshape(-1, len(GENERATORS)) @ branch.reshape(-1, len(GENERATORS)).T
    score = np.where(np.arange(STATES) == 0, 0.0, -np.inf)
    chosen = np.empty((BITS + MEMORY, STATES), np.uint8)
    for step, gain in enumerate(gains):
        both = score[before] + gain.reshape(STATES, 2)
        chosen[step] = both[:, 1] > both[:, 0]
        score = both.max(1)
    return _walk_back(before, chosen)


def _walk_back(before: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The bits along the best way that ends in the first state: a state's highest bit is the bit
    that led to it.
    """
    state, bits = 0, np.empty(len(chosen), np.uint8)
    for step in reversed(range(len(chosen))):
        bits[step] = state >> (MEMORY - 1)
        state = before[state, chosen[step, state]]
    return bits[:BITS]


def trellis() -> tuple[np.ndarray, np.ndarray]:
    """For each state its two forerunners [256, 2] and the signs sent on the way from them [256, 2,
    4].
    """
    state = np.arange(STATES)[:, None]
    before = (state << 1 & (STATES - 1)) | np.arange(2)
    register = before | (state >> (MEMORY - 1)) << MEMORY
    parity = np.bitwise_count(register[..., None] & np.array(GENERATORS)) & 1
    return before, 1.0 - 2.0 * parity
