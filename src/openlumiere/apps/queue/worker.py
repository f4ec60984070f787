"""`Worker`: takes one job at a time and writes what the command would write."""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from openlumiere.apps.cli import one_line
from openlumiere.apps.cli.files import save_clip
from openlumiere.apps.cli.make import draw_style
from openlumiere.apps.queue.claim import LEASE, Claim, LeaseLost, claim, recover
from openlumiere.apps.queue.inputs import check_unchanged
from openlumiere.apps.queue.job import Job
from openlumiere.apps.queue.lock import device_lock
from openlumiere.apps.queue.queue import SHOWN, Queue
from openlumiere.media.limits import for_command
from openlumiere.tasks import LearnStyle

if TYPE_CHECKING:
    import numpy as np

    from openlumiere.diffusion.sampler import Step
    from openlumiere.engine.lumiere import Lumiere
    from openlumiere.media import Origin

log = logging.getLogger("openlumiere")

ATTEMPTS = 5  # starts after which a job that kills its worker is failed
IDLE = 0.2  # seconds between looks for a job
BEAT = 0.1  # seconds between notes of progress
PAUSE = 5.0  # seconds before the next job where nothing computes any
PATIENCE = 60.0  # seconds for which a full disk under the queue itself is waited for


class Cancelled(Exception):
    """Somebody cancelled the job."""


class Stopped(Exception):
    """The worker was asked to end."""


class WorkerLost(Exception):
    """What computes the job is gone: a replica was killed."""


class Interrupted(WorkerLost):
    """What computes the job was told to end; the run knows why."""


class Unavailable(Exception):
    """Nothing computes jobs just now, which is not the job's fault."""


@contextmanager
def handled(numbers: Sequence[int], handler: Callable[..., None]) -> Iterator[None]:
    """In a process's main thread, signals of these numbers go to `handler`; in others, nothing
    changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


class Worker:
    """Runs jobs of a queue on one device, one after the other, best in a process of its own.

    `lumiere` is a model, or makes one once the device is ours. A job that was started `attempts`
    times by workers that were killed is failed. `previews` writes pictures of the clean estimate
    while it samples. `watching` is called with each job that ended.
    """

    def __init__(
        self,
        queue: Queue,
        lumiere: Lumiere | Callable[[], Lumiere],
        *,
        device: str = "cpu",
        attempts: int = ATTEMPTS,
        lease: float = LEASE,
        previews: bool = True,
        watching: Callable[[Job], None] = lambda job: None,
    ):
        self.queue = queue
        self.lumiere = lumiere
        self.device = device
        self.attempts = attempts
        self.lease = lease
        self.previews = previews
        self.watching = watching
        self.stopping = threading.Event()
        self.leaving = threading.Event()
        self.interrupts = False
        self.model: Any = None

    def run(self, follow: bool = False, wait: bool = False) -> list[Job]:
        """Jobs until none waits, or with `follow` until `stop`; those that ended.

        Raises ValueError where another worker has the device, unless it is to `wait` for it, and
        for a model that can't be loaded.
        """
        ended: list[Job] = []
        lock = device_lock(self.queue.folder, self.device, wait, self.stopping.is_set)
        with lock as ours, self._interruptible():
            if not ours:
                return ended
            self._recover()
            self.model = self.lumiere() if callable(self.lumiere) else self.lumiere
            while not (self.stopping.is_set() or self.leaving.is_set()):
                held = claim(self.queue, self.device, self.lease)
                if held is not None:
                    ended += self._run_one(held)
                elif not follow:
                    break
                else:
                    self.stopping.wait(IDLE)
                    self._recover()
        return ended

    def stop(self) -> None:
        """End within a step; the job in hand waits again."""
        self.stopping.set()

    def leave(self) -> None:
        """End after the job in hand."""
        self.leaving.set()

    def _recover(self) -> None:
        for job in recover(self.queue, self.device, self.attempts):
            log.warning("queue: the worker of job %s was killed: it is %s", job.id, job.state)
            if job.ended:
                self.watching(job)

    def _run_one(self, held: Claim) -> list[Job]:
        """The job of a claim, once it has ended."""
        try:
            self._settled(held)
        except LeaseLost:
            log.warning("queue: job %s was given to another worker meanwhile", held.job.id)
        found = self.queue.get(held.job.id)
        if not found.ended:
            return []
        self.watching(found)
        return [found]

    def _settled(self, held: Claim) -> None:
        """Make the job, and say in the queue how that ended. Raises LeaseLost."""
        try:
            with beating(held, self) as run:
                make(held, self.model, run)
        except Cancelled:
            patiently(held.cancelled)
        except Stopped:
            patiently(held.given_back)
        except Unavailable as error:
            log.warning("queue: job %s waits again: %s", held.job.id, error)
            patiently(held.given_back)
            self.stopping.wait(PAUSE)
        except WorkerLost:
            log.warning("queue: the worker of job %s is gone", held.job.id)
            patiently(lambda: held.lost(self.attempts))
        except LeaseLost:
            raise
        except Exception as error:
            line = line_of(error)
            log.debug("queue: job %s", held.job.id, exc_info=error)
            patiently(lambda: held.failed(line))
        else:
            patiently(lambda: held.done(run.total))

    def previews_of(self, model: Any, file: Path) -> Any:
        """What writes pictures of the clean estimate into `file`, in its `write(step)`."""
        from openlumiere.apps.queue.preview import Previews

        return Previews(model, file=file)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """In a process's main thread, SIGTERM, SIGINT and a cancelled job also end what is no
        denoising step: reading, learning, enlarging.
        """
        with handled((signal.SIGTERM, signal.SIGINT, signal.SIGUSR1), self._on_signal):
            yield

    def interrupt(self) -> None:
        """End what is no denoising step, where this worker has the main thread."""
        handler = signal.getsignal(signal.SIGUSR1)
        if self.interrupts and getattr(handler, "__self__", None) is self:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGUSR1:
            if self.stopping.is_set() and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop()
        if self.interrupts:
            raise Cancelled if number == signal.SIGUSR1 else Stopped


@dataclass
class Run:
    """How far the job in hand is, for the thread that tells the queue."""

    worker: Worker
    held: Claim
    step: int = 0
    total: int = 0
    preview: str = ""
    cancelled: bool = False
    lost: bool = False

    def check(self) -> None:
        """Raise what ends the job before it is made."""
        if self.lost:
            raise LeaseLost
        if self.cancelled or self.held.cancelling():
            raise Cancelled
        if self.worker.stopping.is_set():
            raise Stopped

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """What lies inside may be ended anywhere."""
        self.check()
        try:
            self.worker.interrupts = True
            yield
        except Interrupted:
            self.check()
            raise
        finally:
            self.worker.interrupts = False
        self.check()

    def watch(self, over: threading.Event) -> None:
        """Renew the hold until it is `over`, and end the job where somebody asks."""
        connection = self.held.queue.store.connection()
        connection.execute("PRAGMA synchronous = NORMAL")  # a lost note of progress is no loss
        while not over.wait(BEAT):
            try:
                self.cancelled = self.held.beat(self.step, self.total, self.preview)
            except LeaseLost:
                self.lost = True
            except sqlite3.Error as error:
                log.warning("queue: progress of job %s is not noted: %s", self.held.job.id, error)
            if self.cancelled or self.lost:
                self.worker.interrupt()
        self.held.queue.store.close()


@contextmanager
def beating(held: Claim, worker: Worker) -> Iterator[Run]:
    """A thread that renews the hold on a job while it lasts."""
    run = Run(worker, held)
    over = threading.Event()
    thread = threading.Thread(target=run.watch, args=(over,), daemon=True)
    thread.start()
    try:
        yield run
    finally:
        over.set()
        thread.join()


def make(held: Claim, model: Lumiere, run: Run) -> None:
    """Make a job's result, as the command makes it (`apps/cli/make.py`).

    Raises ValueError for a task that can't be made, Cancelled, Stopped or LeaseLost.
    """
    from openlumiere.apps.cli import loading, review

    job = held.job
    output = job.written.output
    with run.interruptible():
        check_unchanged(held.inputs)
        task = loading.open_for(job.task, job.written)
        prepare_folder(held.queue, job)
        loading.check_path(task, output, job.written)
        made: Any = model.run(task, on_step(model, run))
    if isinstance(task, LearnStyle):
        save_style(made, output, held)
        if job.written.preview:
            draw_style(model, task, made, output)
        return
    clip = review.reviewed(made, task, job.written.strict)
    save_clip(Noted.of(clip, held), output, job.written)


def prepare_folder(queue: Queue, job: Job) -> None:
    """The folder of a result that lies in the queue's."""
    folder = Path(job.written.output).parent
    if folder.is_relative_to(queue.folder):
        folder.mkdir(parents=True, exist_ok=True)


def save_style(style: Any, output: str, held: Claim) -> None:
    """Save a style, its hash noted before it gets its name."""
    from openlumiere.media.write import write_beside

    def fill(path: Path) -> None:
        style.save(path)
        held.note(path)

    write_beside(Path(output), fill)


def on_step(model: Lumiere, run: Run) -> Callable[[Step], None]:
    """What is done after each denoising step: progress, previews, and the end where it is asked
    for.
    """
    worker = run.worker
    file = worker.queue.folder / SHOWN / f"{run.held.job.id}.webp"
    previews = worker.previews_of(model, file) if worker.previews else None

    def after(step: Step) -> None:
        run.step, run.total = step.index + 1, step.total
        run.check()
        if previews is not None and run.step < run.total:
            run.preview = previews.write(step) or run.preview

    return after


@dataclass(frozen=True)
class Noted:
    """A clip's origin that also keeps the sha256 of each file in the queue before it gets its name
    (`media.Origin`).
    """

    origin: Origin | None
    held: Claim

    @classmethod
    def of(cls, clip: Any, held: Claim) -> Any:
        """The clip with such an origin."""
        from dataclasses import replace

        return replace(clip, origin=cls(clip.origin, held))

    @property
    def writes_record(self) -> bool:
        """As the origin says."""
        return self.origin is not None and self.origin.writes_record

    def seal(self, frames: np.ndarray) -> np.ndarray:
        """As the origin does; what was not made here is not marked."""
        return frames if self.origin is None else self.origin.seal(frames)

    def sign(self, path: Path) -> None:
        """As the origin does, then note what came of it. Raises Cancelled, so that nothing is
        written, where somebody asked for that in time.
        """
        if self.origin is not None:
            self.origin.sign(path)
        if self.held.cancelling():
            raise Cancelled
        self.held.note(path)


def line_of(error: Exception) -> str:
    """Why a job failed, in one line."""
    if isinstance(error, ValueError):
        return one_line(for_command(str(error)))
    got = f"{type(error).__name__}: {error}"
    return one_line(f"worker: expected to make the job, got {got}, retry it or report this")


def patiently(change: Callable[[], None]) -> None:
    """A change of the queue, tried again for a while where its disk is full."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return change()
        except sqlite3.OperationalError as error:
            if time.monotonic() > end:
                raise
            log.warning("queue: expected room for the queue itself, got %s, free some", error)
            time.sleep(1)
