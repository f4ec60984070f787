"""Where the work is done: by processes of this machine, or by a Ray cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar

from openlumiere.data.ingest.process import Readers

AHEAD = 4  # jobs a worker that wait for it
STORE = 2**27  # bytes of a local cluster's object store: jobs and rows alone go through it
RETRIES = 5  # of a job whose Ray worker was lost
Item = TypeVar("Item")
Done = tuple[Any, Any]


READERS = threading.local()


def digest_here(job: dict) -> dict:
    """Do a job by the reading process of this Ray worker."""
    if not hasattr(READERS, "readers"):
        READERS.readers = Readers()
    return READERS.readers(job)


class Workers(Protocol):
    """Runs jobs side by side."""

    def digest(self, jobs: Iterable[tuple[Item, dict]]) -> Iterator[tuple[Item, dict]]:
        """The outcome of each job, with what it was given beside it, as they end."""
        ...

    def run(self, function: Callable, arguments: list[tuple]) -> Iterator[Any]:
        """What `function` answers to each tuple of arguments, in order."""
        ...

    def close(self) -> None:
        """End all processes."""
        ...


class Machine:
    """`count` reading processes, each driven by a thread of this one."""

    def __init__(self, count: int):
        self.count = count
        self.threads = ThreadPoolExecutor(count)
        self.readers = Readers()

    def digest(self, jobs: Iterable[tuple[Item, dict]]) -> Iterator[tuple[Item, dict]]:
        """As `Workers` says."""

        def submit(job: dict) -> Future:
            return self.threads.submit(self.readers, job)

        def ended(pending: dict[Future, Item]) -> Iterator[tuple[Item, dict]]:
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                yield pending.pop(future), future.result()

        return _few_at_a_time(jobs, self.count * AHEAD, submit, ended)

    def run(self, function: Callable, arguments: list[tuple]) -> Iterator[Any]:
        """As `Workers` says."""
        return self.threads.map(lambda each: function(*each), arguments)

    def close(self) -> None:
        """Drop what waits; end all processes."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.readers.close()
        self.threads.shutdown()


def imported_ray() -> Any:
    """Ray. Raises ValueError where the extra is not installed."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            "ray: expected the package ray, got none, do: pip install 'openlumiere[cluster]'"
        ) from None
    return ray


def connect(ray: Any, address: str, cores: int, store: int) -> bool:
    """Join the Ray cluster at `address`, or begin one on this machine ("local") with so many cores
    and bytes of object store; whether this process was not in one already. Raises ValueError.
    """
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of it
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": store}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ValueError(
            f"ray: expected a Ray cluster at {address}, got '{reason}',"
            " start one with: ray start --head"
        ) from None
    return True


class Cluster:
    """A Ray cluster: at `address`, the one that runs here ("auto"), or a new one on this machine
    with `cores` workers ("local").

    All its machines must see the footage and the shards at the same paths. A job whose worker is
    lost is given to another one, up to 5 times. `work` is what a worker does with a job, by one
    core and `gpus`.
    """

    work = staticmethod(digest_here)

    def __init__(self, address: str, cores: int = 2, gpus: int = 0):
        self.ray = ray = imported_ray()
        self.begun = connect(ray, address, cores, STORE)
        self.count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self.remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)

    def digest(self, jobs: Iterable[tuple[Item, dict]]) -> Iterator[tuple[Item, dict]]:
        """As `Workers` says."""
        remote = self.remote(self.work)

        def ended(pending: dict) -> Iterator[tuple[Item, dict]]:
            for reference in self.ray.wait(list(pending))[0]:
                yield pending.pop(reference), self._answer(reference)

        return _few_at_a_time(jobs, self.count * AHEAD, remote.remote, ended)

    def _answer(self, reference: Any) -> dict:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return {"error": f"its worker was lost {RETRIES} times ({type(error).__name__})"}

    def run(self, function: Callable, arguments: list[tuple]) -> Iterator[Any]:
        """As `Workers` says."""
        remote = self.remote(function)
        yield from self.ray.get([remote.remote(*each) for each in arguments])

    def close(self) -> None:
        """Leave the cluster, or end it where it was begun here."""
        if self.begun:
            self.ray.shutdown()


def _few_at_a_time(
    jobs: Iterable[tuple[Item, dict]],
    most: int,
    submit: Callable[[dict], Any],
    ended: Callable[[dict], Iterator[tuple[Item, dict]]],
) -> Iterator[tuple[Item, dict]]:
    """Keep `most` jobs waiting or running, however many there are."""
    pending: dict = {}
    for item, job in jobs:
        pending[submit(job)] = item
        if len(pending) >= most:
            yield from ended(pending)
    while pending:
        yield from ended(pending)
