"""Replicas as a deployment of Ray Serve, reached from this machine alone: no HTTP of Ray's."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from openlumiere.apps.cluster.head import Cluster
from openlumiere.apps.cluster.messages import About, Message
from openlumiere.apps.cluster.options import OnRay
from openlumiere.apps.cluster.replica import Call, Loading, Replica
from openlumiere.apps.queue.worker import Interrupted, Unavailable, WorkerLost
from openlumiere.data.ingest.workers import connect, imported_ray
from openlumiere.settings import Settings
from openlumiere.tasks import Task

log = logging.getLogger("openlumiere")

STORE = 2**30  # bytes of the object store of a cluster that is begun here; more goes to the disk
WAIT = 0.2  # seconds in which alike jobs come together
PROBE = "2"  # seconds for a replica that computes to say how many jobs it has
LEAVE = 10.0  # seconds for a replica's step to end


class Deployment:
    """The replicas of one head, named after its queue's folder, so that several heads share a
    cluster. `close` removes them.

    Raises ValueError where Ray, its cluster or the model can't be had.
    """

    def __init__(self, options: OnRay, loading: Loading, settings: Settings, folder: Path):
        assert options.ray is not None
        self.ray = imported_ray()
        self.serve = imported_serve()
        most = options.limits()[1]
        cores = max(os.cpu_count() or 1, math.ceil(most * options.replica_cpus))
        self.begun = connect(self.ray, options.ray, cores, STORE)
        self.name = f"lumiere-{sha256(str(folder).encode()).hexdigest()[:12]}"
        self.settings = settings
        self.handle = self._run(options, loading)

    def _run(self, options: OnRay, loading: Loading) -> Any:
        """The deployment's handle, once every replica has loaded its model."""
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        self.serve.start(proxy_location="Disabled")
        made = self.serve.deployment(collecting(self.serve, loading.batch))
        try:
            return self.serve.run(
                made.options(name="Replica", **scale(options, loading)).bind(loading),
                name=self.name,
                route_prefix=None,
                logging_config={"log_level": "WARNING"},
            )
        except RuntimeError as error:
            status = self.serve.status().applications[self.name]
            reason = reason_of(status) or str(error)
            self.close()
            raise ValueError(
                f"ray: expected replicas that load the model, got {reason!r}, "
                "see that every machine has it and openlumiere"
            ) from None

    def cluster(self) -> Cluster:
        """The replicas as a head sees them."""
        about: About = self.handle.about.remote().result()
        for name, there in about.versions.items():
            if version(name) != there:
                log.warning("ray: records name %s %s, replicas have %s", name, version(name), there)
        return Cluster(self.send, about.knows, self.settings)

    def send(self, task: Task, previews: bool) -> Stream:
        """Send a task to a replica that has time."""
        return Stream(self.handle.options(stream=True).make.remote(task, previews))

    def close(self) -> None:
        """Remove the replicas, and leave the cluster, or end it where it was begun here."""
        self.serve.delete(self.name)
        if self.begun:
            self.ray.shutdown()


class Stream:
    """A replica's messages (`head.Answers`)."""

    def __init__(self, answers: Any):
        self.answers = answers

    def __iter__(self) -> Iterator[Message]:
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError
        from ray.serve.exceptions import DeploymentUnavailableError

        try:
            yield from self.answers
        except TaskCancelledError:
            raise Interrupted from None
        except DeploymentUnavailableError as error:
            raise Unavailable(error) from None
        except RayTaskError:
            raise  # a fault of ours
        except RayError as error:
            raise WorkerLost(error) from None

    def cancel(self) -> None:
        """Also ends what the replica does."""
        self.answers.cancel()


def imported_serve() -> Any:
    """Ray Serve. Raises ValueError where the extra is not installed whole."""
    os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", PROBE)
    try:
        from ray import serve
    except ImportError as error:
        raise ValueError(
            f"ray: expected Ray Serve, got no package {error.name}, "
            "do: pip install 'openlumiere[cluster]'"
        ) from None
    return serve


def collecting(serve: Any, batch: int) -> type[Replica]:
    """A replica that waits a moment for calls that it may make together."""
    if batch == 1:
        return Replica

    class Collecting(Replica):
        """Calls come together by `serve.batch`."""

        @serve.batch(max_batch_size=batch, batch_wait_timeout_s=WAIT)
        async def make_all(self, calls: list[Call]) -> list[None]:
            """See `Replica`."""
            return await super().make_all(calls)

        async def together(self, call: Call) -> None:
            """One call of a batch."""
            await self.make_all(call)

    return Collecting


def scale(options: OnRay, loading: Loading) -> dict[str, Any]:
    """How many replicas there are, and what each takes of its machine."""
    least, most = options.limits()
    found: dict[str, Any] = {
        "max_ongoing_requests": loading.batch,
        "graceful_shutdown_timeout_s": LEAVE,
        "ray_actor_options": {
            "num_cpus": options.replica_cpus,
            "num_gpus": int(loading.device.startswith("cuda")),
        },
    }
    if least == most:
        return found | {"num_replicas": most}
    scaling = {
        "min_replicas": least,
        "max_replicas": most,
        "target_ongoing_requests": loading.batch,
    }
    return found | {"autoscaling_config": scaling}


def reason_of(status: Any) -> str:
    """The last line of why a deployment failed: that of the exception."""
    lines = [
        line.strip()
        for each in status.deployments.values()
        for line in each.message.splitlines()
        if "Error: " in line
    ]
    return lines[-1].partition("Error: ")[2] if lines else ""
