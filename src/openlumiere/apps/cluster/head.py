"""The head's side: a model that is elsewhere, and the worker that drives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from openlumiere.apps.cluster.messages import Failed, Made, Message, Progress
from openlumiere.apps.queue.worker import Worker, WorkerLost
from openlumiere.engine.finish import Provenance, sources_of
from openlumiere.engine.inputs import inputs_of, open_task
from openlumiere.media import Clip
from openlumiere.settings import Settings
from openlumiere.tasks import Task


class Answers(Protocol):
    """Messages of one call, as they come.

    Raises `Interrupted` once it was cancelled, `WorkerLost` where its replica is gone, and
    `Unavailable` where there is none.
    """

    def __iter__(self) -> Iterator[Message]: ...

    def cancel(self) -> None:
        """Nobody waits for them any more; from any thread."""
        ...


Send = Callable[[Task, bool], Answers]
"""Sends an open task to a replica; with True, previews are wanted."""


@dataclass(frozen=True)
class Cluster:
    """Replicas of one model: how tasks are sent to them, what the model draws, and whose name is
    signed with.
    """

    send: Send
    knows: Any
    settings: Settings


class Elsewhere:
    """A model in a cluster in the place of a `Lumiere`: what a `Worker` asks of one.

    One task at a time; `cancel` ends it from another thread.
    """

    def __init__(self, cluster: Cluster, previews: bool = True):
        self.cluster = cluster
        self.knows = cluster.knows
        self.settings = cluster.settings
        self.previews = previews
        self.answers: Answers | None = None

    def run(self, task: Task, on_step: Callable[[Progress], None] | None = None) -> Any:
        """What a task asks for, computed by a replica. `on_step` is called after each step.

        Raises ValueError for what can't be made, and what `Answers` raises.
        """
        task = open_task(task)
        self.answers = self.cluster.send(task, self.previews and on_step is not None)
        ended = False
        try:
            for message in self.answers:
                if isinstance(message, Progress):
                    if on_step is not None:
                        on_step(message)
                    continue
                ended = True
                return self._result(task, message)
        finally:
            if not ended:
                self.cancel()
            self.answers = None
        raise WorkerLost

    def _result(self, task: Task, message: Made | Failed) -> Any:
        if isinstance(message, Failed):
            raise ValueError(message.line)
        made = message.result
        if not isinstance(made, Clip) or not isinstance(made.origin, Provenance):
            return made
        return signed_here(made, self.settings, inputs=sources_of(inputs_of(task)))

    def cancel(self) -> None:
        """End the task in hand."""
        answers = self.answers
        if answers is not None:
            answers.cancel()


def signed_here(clip: Clip, settings: Settings, **more: Any) -> Clip:
    """A replica's clip with this user's keys, and with the files that lie here as what it was made
    from.
    """
    origin: Any = clip.origin
    return replace(clip, origin=replace(origin, settings=settings, **more))


class Received:
    """Previews that replicas send, in one file (`queue.preview.Previews` makes them)."""

    def __init__(self, model: Elsewhere, file: Path):
        self.model = model
        self.file = file

    def write(self, step: Progress) -> str:
        """The path of the picture; empty where none came with this step."""
        if step.preview is None:
            return ""
        self.file.parent.mkdir(exist_ok=True)
        signed_here(step.preview, self.model.settings).save(self.file)
        return str(self.file)


class ClusterWorker(Worker):
    """A worker whose model is elsewhere: it waits for answers instead of computing, so a head has
    one for each clip that its replicas make at once.
    """

    def previews_of(self, model: Any, file: Path) -> Received:
        """Pictures come from the replica."""
        return Received(model, file)

    def interrupt(self) -> None:
        """Stop waiting for the job in hand."""
        if self.model is not None:
            self.model.cancel()

    def stop(self) -> None:
        """End now; the job in hand waits again."""
        super().stop()
        self.interrupt()
