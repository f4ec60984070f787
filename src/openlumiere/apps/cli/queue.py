"""`lumiere queue ACTION`: jobs that wait in a folder, and the worker that makes them."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from openlumiere.apps.cli import many_imports
from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.files import numbered
from openlumiere.apps.cli.forms import Model, dataclass_of, form_of, group
from openlumiere.apps.cli.make import description, task_of
from openlumiere.apps.cluster.options import OnRay
from openlumiere.apps.queue import Job, Queue, Worker, queue_folder
from openlumiere.apps.queue.job import State
from openlumiere.apps.queue.queue import KEPT_DAYS
from openlumiere.apps.queue.worker import ATTEMPTS
from openlumiere.tasks import KINDS
from openlumiere.tasks.base import nearest

if TYPE_CHECKING:
    from openlumiere.apps.cluster.pool import Pool

Folder = Annotated[
    Path | None,
    arg(metavar="DIR", help="The queue's folder instead of the one in your data folder."),
]
Ids = Annotated[Positional[tuple[str, ...]], arg(metavar="ID [ID ...]", help="Jobs, as listed.")]
States = Annotated[
    UseAppendAction[tuple[State, ...]], arg(help="Only jobs in this state; may be given again.")
]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How a job waits."""

    priority: Annotated[int, arg(help="Higher ones start first.")] = 0
    key: Annotated[
        str, arg(metavar="TEXT", help="A name of your own: the same again is the same job.")
    ] = ""
    copy: Annotated[
        bool, FlagCreatePairsOff, arg(help="Copy the files it is given, which may change.")
    ] = False
    folder: Folder = None


@dataclass(frozen=True, kw_only=True)
class InFolder:
    """All that waits."""

    folder: Folder = None


@dataclass(frozen=True, kw_only=True)
class Listing(InFolder):
    """Jobs, those that wait in the order in which they will start."""

    state: States = ()
    json: Annotated[bool, FlagCreatePairsOff, arg(help="A line of JSON a job.")] = False


@dataclass(frozen=True, kw_only=True)
class Some(InFolder):
    """Some jobs."""

    ids: Ids


@dataclass(frozen=True, kw_only=True)
class Held(InFolder):
    """The whole queue, or some jobs."""

    ids: Ids = ()


@dataclass(frozen=True, kw_only=True)
class Moved(InFolder):
    """A job's place among those that wait."""

    id: Annotated[Positional[str], arg(metavar="ID", help="A job, as listed.")]
    place: Annotated[Positional[int], arg(help="0 is first.")]


@dataclass(frozen=True, kw_only=True)
class Raised(InFolder):
    """A job's priority."""

    id: Annotated[Positional[str], arg(metavar="ID", help="A job, as listed.")]
    priority: Annotated[Positional[int], arg(help="Higher ones start first.")]


@dataclass(frozen=True, kw_only=True)
class Exported(InFolder):
    """Jobs as lines of JSON, on the output."""

    state: States = ()


@dataclass(frozen=True, kw_only=True)
class Imported(InFolder):
    """Jobs of exported lines; what was imported before is not added again."""

    file: Annotated[Positional[Path], arg(metavar="FILE", help="Lines that export printed.")]


@dataclass(frozen=True, kw_only=True)
class Pruned(InFolder):
    """Remove results in the queue's folder, and media that no job needs, of jobs that ended long
    ago. Files that were named by -o stay.
    """

    days: Annotated[float, arg(help="How long ago.")] = KEPT_DAYS
    dry_run: Annotated[bool, FlagCreatePairsOff, arg(help="Only print what would go.")] = False


@dataclass(frozen=True, kw_only=True)
class Running(InFolder):
    """Make the jobs that wait, one after the other; a line for each that ended.

    Exit code 0: all are done; 1: some failed; 130: asked to end, the job in hand waits again.
    """

    follow: Annotated[
        bool, FlagCreatePairsOff, arg(help="Wait for more jobs instead of ending.")
    ] = False
    wait: Annotated[
        bool, FlagCreatePairsOff, arg(help="Wait for another worker to leave the device.")
    ] = False
    until_eof: Annotated[
        bool, FlagCreatePairsOff, arg(help="End after the job in hand once the input has ended.")
    ] = False
    previews: Annotated[bool, arg(help="Write pictures while it samples.")] = True
    attempts: Annotated[
        int, arg(help="Starts after which a job whose worker was killed has failed.")
    ] = ATTEMPTS
    model: OmitArgPrefixes[Model] = field(default_factory=Model)
    cluster: OmitArgPrefixes[OnRay] = field(default_factory=OnRay)


def main(words: list[str]) -> int:
    """Run one action. ValueError is the user's mistake."""
    action, *rest = words or ["--help"]
    if action in ("-h", "--help"):
        print(usage())
        return 0
    if action not in ACTIONS:
        raise ValueError(
            f"queue: expected one of {', '.join(ACTIONS)}, got {action[:100]!r}, "
            f"{nearest(action, ACTIONS, 'see lumiere queue --help')}"
        )
    return ACTIONS[action][0](rest)


def usage() -> str:
    """The actions, a line each."""
    actions = "\n".join(f"  {name:<10} {what}" for name, (_, what) in ACTIONS.items())
    return (
        "usage: lumiere queue ACTION ... (lumiere queue ACTION --help says more)\n\n"
        f"{actions}\n\n"
        f"The queue lies in {queue_folder()} unless --folder names another."
    )


def add(words: list[str]) -> int:
    """`lumiere queue add VERB ... -o OUT`: the words of a verb become a job; its id is printed."""
    verb, form = form_and_words("add", words)
    queue = Queue(form.waiting.folder)
    outputs = numbered(form.written.output, getattr(form, "count", 1))
    for index, output in enumerate(outputs):
        key = form.waiting.key
        job = queue.add(
            task_of(verb, form, index),
            output=output,
            priority=form.waiting.priority,
            key=f"{key} {index}" if key and index else key,
            copy=form.waiting.copy,
            **written_of(form),
        )
        print(job.id, flush=True)
    return 0


def edit(words: list[str]) -> int:
    """`lumiere queue edit ID VERB ... -o OUT`: a job that waits becomes another."""
    name, *rest = words or [""]
    if name in ("", "-h", "--help"):
        print("usage: lumiere queue edit ID VERB ... -o OUT (the words of lumiere VERB)")
        return 0
    verb, form = form_and_words("edit", rest)
    output = str(Path(form.written.output).absolute()) + "/" * form.written.output.endswith("/")
    task = task_of(verb, form)
    job = Queue(form.waiting.folder).edit(name, task, output=output, **written_of(form))
    print(job.id)
    return 0


def form_and_words(action: str, words: list[str]) -> tuple[str, Any]:
    """A verb, and its options without those of the model, which are the worker's."""
    verb, *rest = words or [""]
    if verb not in KINDS:
        if verb in ("-h", "--help"):
            print(f"usage: lumiere queue {action} VERB ... (VERB: {', '.join(KINDS)})")
            raise SystemExit(0)
        raise ValueError(
            f"queue {action}: expected one of {', '.join(KINDS)}, got {verb[:100]!r}, "
            f"{nearest(verb, KINDS, 'name a task')}"
        )
    fields = [
        (each.name, each.type, each.default)
        for each in dataclasses.fields(form_of(verb))
        if each.name not in ("model", "from_prompt")
    ]
    form = dataclass_of("Queued", [*fields, group("waiting", Waiting, Waiting())])
    prefix = f"queue {action} {verb}"
    return verb, parse(form, rest, prefix, description=description(verb))


def written_of(form: Any) -> dict[str, Any]:
    """How a form says that the result is written."""
    return {
        "preview": getattr(form.written, "preview", False),
        "lossless": getattr(form.written, "lossless", False),
        "strict": getattr(form.written, "strict", False),
        "allow_partial": getattr(form, "allow_partial", False),
    }


def show(words: list[str]) -> int:
    """`lumiere queue list`."""
    options = parse(Listing, words, "queue list")
    queue = Queue(options.folder)
    for job in queue.list(*options.state):
        print(job.model_dump_json() if options.json else listed(job))
    if queue.paused and not options.json:
        print("lumiere: the queue is paused: no job starts until lumiere queue resume")
    return 0


def listed(job: Job) -> str:
    """A job in a line: id, state, how far, what, where or why not."""
    state = "paused" if job.held and job.state == "pending" else job.state
    how_far = f"{job.step}/{job.total}" if job.total else ""
    what = " ".join(filter(None, [job.task.kind, *job.task.sentences()[:1]]))
    where = job.error or job.written.output
    return f"{job.id}  {state:<9}  {how_far:>7}  {what[:40]:<40}  {where}"


def each(action: str, change: Callable[[Queue, str], Any]) -> Callable[[list[str]], int]:
    """An action on some jobs, each of which is printed."""

    def act(words: list[str]) -> int:
        options = parse(Some, words, f"queue {action}")
        queue = Queue(options.folder)
        for name in options.ids:
            print(listed(change(queue, name)))
        return 0

    return act


def move(words: list[str]) -> int:
    """`lumiere queue move ID PLACE`."""
    options = parse(Moved, words, "queue move")
    print(listed(Queue(options.folder).move(options.id, options.place)))
    return 0


def prioritise(words: list[str]) -> int:
    """`lumiere queue priority ID N`."""
    options = parse(Raised, words, "queue priority")
    print(listed(Queue(options.folder).prioritise(options.id, options.priority)))
    return 0


def pause(words: list[str]) -> int:
    """`lumiere queue pause [ID ...]`."""
    options = parse(Held, words, "queue pause")
    queue = Queue(options.folder)
    for name in options.ids or (None,):
        queue.pause(name)
    return 0


def resume(words: list[str]) -> int:
    """`lumiere queue resume [ID ...]`."""
    options = parse(Held, words, "queue resume")
    queue = Queue(options.folder)
    for name in options.ids or (None,):
        queue.resume(name)
    return 0


def export(words: list[str]) -> int:
    """`lumiere queue export`."""
    options = parse(Exported, words, "queue export")
    for line in Queue(options.folder).export(*options.state):
        print(line)
    return 0


def import_(words: list[str]) -> int:
    """`lumiere queue import FILE`."""
    options = parse(Imported, words, "queue import")
    try:
        lines = options.file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"import: expected a file of lines that export printed, got {options.file} "
            f"({error}), check the path"
        ) from None
    for job in Queue(options.folder).import_lines(lines):
        print(job.id)
    return 0


def prune(words: list[str]) -> int:
    """`lumiere queue prune`: what goes is printed."""
    options = parse(Pruned, words, "queue prune")
    for job in Queue(options.folder).prune(options.days, options.dry_run):
        moment = time.strftime("%Y-%m-%d", time.localtime(job.finished))
        print(f"{job.id}  {job.state} on {moment}")
    return 0


def run(words: list[str]) -> int:
    """`lumiere queue run`: a worker, or with --ray as many as its replicas need."""
    options = parse(Running, words, "queue run")
    failed: list[str] = []

    def watching(job: Job) -> None:
        line = f"{job.id}  {job.state}  {job.error or job.written.output}"
        print(line, file=sys.stderr if job.error else sys.stdout, flush=True)
        failed.extend([job.id] * (job.state == "failed"))

    worker = here(options, watching) if options.cluster.ray is None else on_ray(options, watching)
    if options.until_eof:
        threading.Thread(target=leave_at_eof, args=(worker,), daemon=True).start()
    worker.run(options.follow, options.wait)
    if worker.stopping.is_set():
        raise KeyboardInterrupt
    return 1 if failed else 0


def here(options: Running, watching: Callable[[Job], None]) -> Worker:
    """A worker whose model is in this process."""

    def loaded() -> Any:
        with many_imports():
            from openlumiere.apps.cli import loading

        model = options.model
        settings = loading.settings_of(model.certificate, model.key)
        return loading.load(
            model.model, model.device, model.dtype, settings, model.memory, model.lora
        )

    return Worker(
        Queue(options.folder),
        loaded,
        device=options.model.device,
        attempts=options.attempts,
        previews=options.previews,
        watching=watching,
    )


def on_ray(options: Running, watching: Callable[[Job], None]) -> Pool:
    """Workers whose model is in the replicas of a Ray cluster."""
    from openlumiere.apps.cluster.pool import Pool

    options.cluster.check()
    queue = Queue(options.folder)

    def deploy() -> Any:
        from openlumiere.apps.cli import loading
        from openlumiere.apps.cluster.deploy import Deployment
        from openlumiere.apps.cluster.replica import Loading

        model = options.model
        settings = loading.settings_of(model.certificate, model.key)
        of_replicas = Loading(
            model=model.model,
            device=model.device,
            dtype=model.dtype,
            memory=model.memory,
            lora=model.lora,
            policy=settings.policy,
            batch=options.cluster.batch,
        )
        return Deployment(options.cluster, of_replicas, settings, queue.folder)

    return Pool(
        queue,
        deploy,
        options.cluster.at_once(),
        attempts=options.attempts,
        previews=options.previews,
        watching=watching,
    )


def leave_at_eof(worker: Worker | Pool) -> None:
    """Wait until whoever started this process is gone, then end after the job in hand."""
    with open(sys.stdin.fileno(), "rb", closefd=False, buffering=0) as source:
        while source.read(1024):
            pass
    worker.leave()


ACTIONS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "add": (add, "the words of a verb as a job: lumiere queue add generate PROMPT -o OUT"),
    "list": (show, "jobs, how far they are and where their results lie"),
    "run": (run, "make what waits"),
    "cancel": (each("cancel", Queue.cancel), "before the start, or within a step"),
    "retry": (each("retry", Queue.retry), "what failed or was cancelled"),
    "duplicate": (each("duplicate", Queue.duplicate), "the same once more"),
    "edit": (edit, "another task for a job that waits"),
    "move": (move, "to a place among the jobs that wait"),
    "priority": (prioritise, "higher ones start first"),
    "pause": (pause, "start no job, or not these"),
    "resume": (resume, "start them again"),
    "export": (export, "jobs as lines of JSON"),
    "import": (import_, "jobs of such lines"),
    "prune": (prune, "remove old results"),
}
