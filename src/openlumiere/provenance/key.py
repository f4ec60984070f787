"""The key of the mark: the public one that is bundled, or a secret one of the user's."""

from __future__ import annotations

from pathlib import Path

from openlumiere.provenance.certificate import check_closed
from openlumiere.provenance.pattern import PUBLIC_KEY

SHORTEST = 16  # bytes of a secret


def mark_key(file: Path | None) -> bytes:
    """What clips are marked with: the secret in `file`, or the public key where there is none.

    Raises ValueError for a file that others can read or that is too short to be a secret.
    """
    if file is None:
        return PUBLIC_KEY
    check_closed(file, "mark key")
    secret = file.read_bytes().strip()
    if len(secret) < SHORTEST:
        advice = f"do: head -c 32 /dev/urandom | base64 > {file}"
        raise ValueError(
            f"mark key: expected at least {SHORTEST} bytes, got {len(secret)}, {advice}"
        )
    return secret


def known_keys(file: Path | None) -> dict[str, bytes]:
    """Keys to look for, by whose they are: the user's own, if any, then the public one."""
    own = {} if file is None else {"own": mark_key(file)}
    return own | {"public": PUBLIC_KEY}
