"""The key of the mark: the public one that ships, or a secret one of the user's."""

from __future__ import annotations

import os
from pathlib import Path

from openlumiere.provenance.certificate import check_closed
from openlumiere.provenance.pattern import PUBLIC_KEY

MARK_KEY = "OPENLUMIERE_MARK_KEY"  # a file with a secret of one's own, mode 0600
SHORTEST = 16


def own_key() -> bytes:
    """What clips are marked with: the secret in the file that `OPENLUMIERE_MARK_KEY` names, else
    the public key.

    Raises ValueError for a file that others can read or that is too short to be a secret.
    """
    named = os.environ.get(MARK_KEY)
    if not named:
        return PUBLIC_KEY
    check_closed(Path(named), "mark key")
    secret = Path(named).read_bytes().strip()
    if len(secret) < SHORTEST:
        raise ValueError(
            f"mark key: expected at least {SHORTEST} bytes, got {len(secret)}, do: head -c 32 /dev/urandom | base64 > {named}"
        )
    return secret


def known_keys() -> dict[str, bytes]:
    """Keys to look for, by whose they are: the user's own, if any, then the public one."""
    own = own_key()
    return ({} if own == PUBLIC_KEY else {"own": own}) | {"public": PUBLIC_KEY}
