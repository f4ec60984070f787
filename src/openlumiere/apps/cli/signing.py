"""Who signs what a verb makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openlumiere.provenance.certificate import own_signer
from openlumiere.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Signing:
    """The signer of one command."""

    certificate: Path | None = None
    """A PEM file with certificates of your own, the signer's first, to sign with instead of those
    made on first use; goes with --key.
    """
    key: Path | None = None
    """The PEM file with the certificate's private key, which nobody but you can read."""

    def settings(self) -> Settings:
        """This user's settings, with the signer that the options name.

        Raises ValueError for files that can't sign.
        """
        settings = Settings.load(certificate=self.certificate, key=self.key)
        if not settings.signer.own:
            own_signer(settings.signer)
        return settings
