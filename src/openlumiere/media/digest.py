"""The sha256 of a file, the one way in which content is compared here."""

import hashlib
from pathlib import Path


def sha256_of_file(path: Path) -> str:
    """Of a file's bytes, in hexadecimal; a piece at a time. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
