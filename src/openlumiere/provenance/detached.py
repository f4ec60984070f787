"""A signed statement beside what C2PA has no place in: webm files and folders of frames.

The statement is the manifest's (`manifest.Making`) and the sha256 of every file, signed with the
same key.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509

from openlumiere.media.digest import sha256_of_file
from openlumiere.provenance.certificate import (
    Signer,
    check_signature,
    issued_by,
    own_signer,
    subject_of,
    trusted_roots,
)
from openlumiere.provenance.manifest import Making, Manifest

NAME = "provenance.json"
FRAMES = (".png", ".jpg", ".jpeg")
NOTE = "clip.json"
MAX_BYTES = 2**24


def statement_path(path: Path) -> Path:
    """`cat.webm` -> `cat.webm.provenance.json`; a folder's lies inside, so that they travel
    together.
    """
    return path / NAME if path.is_dir() else path.with_name(f"{path.name}.{NAME}")


def write_statement(path: Path, making: Making, signer: Signer | None = None) -> None:
    """Sign the file or folder of frames at `path`, by `signer` (None: this user's own)."""
    signer = signer or own_signer()
    claim = json.dumps(
        {"source_type": making.source_type, "making": making.as_json(), "files": digests(path)},
        ensure_ascii=False,
    )
    statement = {
        "claim": claim,
        "signature": base64.b64encode(signer.sign(claim.encode())).decode(),
        "chain": signer.chain_pem().decode(),
    }
    statement_path(path).write_text(
        json.dumps(statement, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def digests(path: Path) -> dict[str, str]:
    """sha256 of the file, under no name since it may be renamed; of a folder, of its frames and its
    note.
    """
    if not path.is_dir():
        return {"": sha256_of_file(path)}
    named = sorted(
        file for file in path.iterdir() if file.suffix.lower() in FRAMES or file.name == NOTE
    )
    return {file.name: sha256_of_file(file) for file in named if file.is_file()}


def read_statement(path: Path, roots: tuple[x509.Certificate, ...] | None = None) -> Manifest:
    """The statement beside the file, or in the folder, at `path`; `roots` are trusted (None:
    `trusted_roots()`).
    """
    statement = statement_path(path)
    if not statement.is_file():
        return Manifest(state="none")
    try:
        with open(statement, "rb") as content:
            stated = json.loads(content.read(MAX_BYTES))
        chain, claim = (
            x509.load_pem_x509_certificates(stated["chain"].encode()),
            stated["claim"].encode(),
        )
        signed = check_signature(chain[0], base64.b64decode(stated["signature"]), claim)
        said = json.loads(claim)
        making, files = Making.from_json(said["making"]), said["files"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Manifest(state="tampered", problem=f"the statement can't be read ({error})")
    problem = broken_chain(chain) if signed else "the signature does not match"
    if not problem and files != digests(path):
        problem = "the signed content is another"
    state = "tampered" if problem else "trusted" if is_trusted(chain, roots) else "valid"
    return Manifest(
        state=state,
        making=making,
        told_marks=making.marks,
        generator=making.generator,
        signer=subject_of(chain[0]),
        problem=problem,
    )


def broken_chain(chain: list[x509.Certificate]) -> str:
    """What is wrong with a chain, the signer's certificate first, or nothing."""
    now = datetime.now(UTC)
    if any(
        not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        for certificate in chain
    ):
        return "a certificate is not valid today"
    if not all(issued_by(issued, issuer) for issued, issuer in pairwise(chain)):
        return "the certificates are not a chain"
    return ""


def is_trusted(chain: list[x509.Certificate], roots: tuple[x509.Certificate, ...] | None) -> bool:
    """Whether a trusted certificate is in the chain, or issued its last one."""
    known = trusted_roots() if roots is None else roots
    return any(root in chain or issued_by(chain[-1], root) for root in known)
