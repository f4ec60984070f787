"""Who signs what a verb makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openlumiere.provenance.certificate import sign_with


@dataclass(frozen=True, kw_only=True)
class Signing:
    certificate: Path | None = None
    """A PEM file with certificates of your own, the signer's first, to sign with instead of those
    made on first use; goes with --key.
    """
    key: Path | None = None
    """The PEM file with the certificate's private key, which nobody but you can read."""

    def choose_signer(self) -> None:
        """Raises ValueError for files that can't sign."""
        sign_with(self.certificate, self.key)
