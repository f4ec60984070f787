"""Options of a cluster, as `lumiere serve` and `lumiere queue run` take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from openlumiere.apps.cli.files import check_range

MOST = 1000  # replicas
RANGE = re.compile(r"(\d{1,4})(?::(\d{1,4}))?")


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """Where jobs are computed, if not here."""

    ray: Annotated[
        str | None,
        arg(
            metavar="ADDRESS",
            help="Compute on a Ray cluster: auto (the one that runs), local (begun here, on this "
            "machine) or its address. --device is that of each replica: cpu or cuda.",
        ),
    ] = None
    replicas: Annotated[
        str, arg(metavar="N", help="How many models are loaded, or MIN:MAX as jobs wait.")
    ] = "1"
    replica_cpus: Annotated[
        float, arg(metavar="X", help="Cores that each replica takes (a cuda one also a GPU).")
    ] = 1.0
    batch: Annotated[
        int,
        arg(
            metavar="N",
            help="Jobs that differ in prompt and seed alone are denoised together, up to N; a "
            "clip's last bits depend on how many, which its record says.",
        ),
    ] = 1

    def check(self) -> None:
        """Raise ValueError for numbers that can't be."""
        least, most = self.limits()
        check_range("replicas", most, max(1, least), MOST)
        check_range("replica-cpus", self.replica_cpus, 0, MOST)
        check_range("batch", self.batch, 1, 64)

    def limits(self) -> tuple[int, int]:
        """The fewest and the most replicas."""
        found = RANGE.fullmatch(self.replicas)
        if found is None:
            raise ValueError(
                f"replicas: expected N or MIN:MAX, got {self.replicas[:100]!r}, "
                "as in --replicas 2 or --replicas 1:8"
            )
        return int(found[1]), int(found[2] or found[1])

    def at_once(self) -> int:
        """Jobs that are in hand at once: as many as are made, and one more a replica, which is
        there when the replica's last clip is encoded and written.
        """
        return self.limits()[1] * (self.batch + 1)

    def words(self) -> list[str]:
        """The same as options of a worker's process."""
        if self.ray is None:
            return []
        return [
            f"--ray={self.ray}",
            f"--replicas={self.replicas}",
            f"--replica-cpus={self.replica_cpus}",
            f"--batch={self.batch}",
        ]
