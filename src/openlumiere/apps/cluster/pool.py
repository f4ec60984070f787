"""`Pool`: the workers of a head, a thread each, over the replicas of a cluster."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

from openlumiere.apps.cluster.head import Cluster, ClusterWorker, Elsewhere
from openlumiere.apps.queue import Job, Queue
from openlumiere.apps.queue.lock import device_lock
from openlumiere.apps.queue.worker import ATTEMPTS, handled

DEVICE = "ray"


class Pool:
    """Runs jobs of a queue on the replicas that `deploy` answers, `count` at once.

    The other arguments, and what it does, are those of `queue.Worker`; a job whose replica was
    killed counts as one whose worker was.
    """

    def __init__(
        self,
        queue: Queue,
        deploy: Callable[[], Any],
        count: int,
        *,
        attempts: int = ATTEMPTS,
        previews: bool = True,
        watching: Callable[[Job], None] = lambda job: None,
    ):
        self.queue = queue
        self.deploy = deploy
        self.stopping = threading.Event()
        self.previews = previews
        self.cluster: Cluster | None = None
        self.workers = [
            ClusterWorker(
                queue,
                self._model,
                device=f"{DEVICE}-{number}",
                attempts=attempts,
                previews=previews,
                watching=watching,
            )
            for number in range(count)
        ]

    def _model(self) -> Any:
        """A worker's own hold on the replicas."""
        assert self.cluster is not None
        return Elsewhere(self.cluster, self.previews)

    def run(self, follow: bool = False, wait: bool = False) -> list[Job]:
        """As `Worker.run`. Raises ValueError also where there can be no replicas."""
        with device_lock(self.queue.folder, DEVICE, wait, self.stopping.is_set) as ours:
            if not ours:
                return []
            deployment = self.deploy()
            try:
                self.cluster = deployment.cluster()
                with handled((signal.SIGTERM, signal.SIGINT), lambda *_: self.stop()):
                    return self._run(follow)
            finally:
                deployment.close()

    def _run(self, follow: bool) -> list[Job]:
        with ThreadPoolExecutor(len(self.workers)) as threads:
            running = [threads.submit(worker.run, follow) for worker in self.workers]
            wait(running, return_when=FIRST_EXCEPTION)
            if not all(each.done() for each in running):
                self.stop()
        return [job for each in running for job in each.result()]

    def stop(self) -> None:
        """End within a step; the jobs in hand wait again."""
        self.stopping.set()
        for worker in self.workers:
            worker.stop()

    def leave(self) -> None:
        """End after the jobs in hand."""
        for worker in self.workers:
            worker.leave()
