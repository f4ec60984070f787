"""`Replica`: a model on another machine, that makes one clip, or one batch of them, at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from openlumiere.apps.cluster.messages import About, Failed, Made, Message, Progress
from openlumiere.apps.queue.preview import Previews
from openlumiere.apps.queue.worker import line_of
from openlumiere.engine.finish import PACKAGES
from openlumiere.engine.plan import batches
from openlumiere.settings import Policy, Settings
from openlumiere.tasks import Generate, Task

if TYPE_CHECKING:
    from openlumiere.diffusion.sampler import Step
    from openlumiere.engine.lumiere import Lumiere


class Dropped(Exception):
    """Nobody waits for the clips in hand any more."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Which weights a replica loads, the policy of the head's user, and how many clips it makes at
    once at most.
    """

    model: str | None = None
    device: str = "cpu"
    dtype: str = "auto"
    memory: str = ""
    lora: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    batch: int = 1

    def load(self) -> Lumiere:
        """The model. Raises ValueError for one that can't be loaded."""
        from openlumiere.apps.cli import loading

        settings = replace(Settings.load(), policy=self.policy)
        return loading.load(self.model, self.device, self.dtype, settings, self.memory, self.lora)


class Call:
    """One task in a replica's hands, and the messages for who sent it."""

    def __init__(self, task: Task, previews: bool):
        self.task = task
        self.previews = previews
        self.loop = asyncio.get_running_loop()
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.dropped = threading.Event()

    def tell(self, message: Message) -> None:
        """From any thread."""
        self.loop.call_soon_threadsafe(self.messages.put_nowait, message)


class Replica:
    """Makes open tasks. It writes no file: what it makes is sealed and signed by the head."""

    def __init__(self, loading: Loading):
        self.batch = loading.batch
        self.lumiere = loading.load()
        self.busy = threading.Lock()

    async def about(self) -> About:
        """What the head must know."""
        return About(self.lumiere.knows, {name: version(name) for name in PACKAGES})

    async def make(self, task: Task, previews: bool) -> AsyncIterator[Message]:
        """Messages until the last, `Made` or `Failed`. Who stops listening ends the work within a
        step.
        """
        call = Call(task, previews)
        running = asyncio.ensure_future(self.together(call))
        try:
            while True:
                message = await call.messages.get()
                yield message
                if not isinstance(message, Progress):
                    await running
                    return
        finally:
            call.dropped.set()

    async def together(self, call: Call) -> None:
        """Make a call, with others where the deployment collects them (`deploy.py`)."""
        await self.make_all([call])

    async def make_all(self, calls: Sequence[Call]) -> list[None]:
        """Make some calls, those that are alike in one batch. Answers come as messages."""
        await asyncio.to_thread(self._compute, calls)
        return [None] * len(calls)

    def _compute(self, calls: Sequence[Call]) -> None:
        with self.busy:  # a call that was dropped ends at its next step
            for group in self._groups(calls):
                self._compute_group(group)

    def _groups(self, calls: Sequence[Call]) -> list[list[Call]]:
        """Calls that are denoised together."""
        words = [call for call in calls if isinstance(call.task, Generate)]
        alone = [[call] for call in calls if not isinstance(call.task, Generate)]
        if len(words) < 2:
            return alone + [[call] for call in words]
        backbone = self.lumiere.base.backbone
        found = batches([call.task for call in words], backbone, self.batch)
        return alone + [[words[number] for number in numbers] for numbers in found]

    def _compute_group(self, group: Sequence[Call]) -> None:
        """A group's clips. Where that fails, each is made alone, so that each fails alone."""
        calls = [call for call in group if not call.dropped.is_set()]
        try:
            for call, made in zip(calls, self._made(calls), strict=True):
                call.tell(Made(made))
        except Dropped:
            return
        except Exception as error:
            if len(calls) == 1:
                calls[0].tell(Failed(line_of(error)))
                return
            for call in calls:
                self._compute_group([call])

    def _made(self, calls: Sequence[Call]) -> Sequence[Any]:
        if not calls:
            return []
        if len(calls) == 1:
            return [self.lumiere.run(calls[0].task, self._on_step(calls))]
        tasks = [call.task for call in calls]
        return self.lumiere.run_many(tasks, self._on_step(calls), batch=len(calls))

    def _on_step(self, calls: Sequence[Call]) -> Callable[[Step], None]:
        """What is done after each step: progress, previews, and the end once nobody waits."""
        previews = [Previews(self.lumiere, number) for number in range(len(calls))]

        def after(step: Step) -> None:
            if all(call.dropped.is_set() for call in calls):
                raise Dropped
            last = step.index + 1 == step.total
            for call, pictures in zip(calls, previews, strict=True):
                shown = pictures.picture(step) if call.previews and not last else None
                call.tell(Progress(step.index, step.total, shown))

        return after
