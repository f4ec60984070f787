"""`lumiere serve`: the queue over HTTP, with a worker a device beside it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.files import check_range
from openlumiere.apps.cli.queue import Folder
from openlumiere.apps.cluster.options import OnRay
from openlumiere.apps.queue import Queue
from openlumiere.apps.queue.worker import ATTEMPTS
from openlumiere.tasks.values import memory

if TYPE_CHECKING:
    import uvicorn

    from openlumiere.apps.server.workers import Supervisor

PORT = 8000
HOUR = 3600.0  # seconds
MOST_AT_ONCE = 256  # connections
EXTRA = "serve"


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Which weights, where, and in whose name."""

    worker: Annotated[
        bool, arg(help="Run workers; without, start them elsewhere: lumiere queue run --follow.")
    ] = True
    model: Annotated[
        str | None, arg(metavar="DIR", help="A model folder instead of the bundled weights.")
    ] = None
    device: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(help="cpu, cuda:0 ...; may be given again, for a worker each (cpu)."),
    ] = ()
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        arg(help="Precision of the weights; auto is the fastest here, which a record names."),
    ] = "auto"
    memory: Annotated[
        str, arg(metavar="SIZE", help="Of a published model: the most that it may take, as 8G.")
    ] = ""
    lora: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="FILE:X", help="Of a published model: a LoRA and its weight; may be repeated."),
    ] = ()
    certificate: Annotated[
        str | None, arg(metavar="PEM", help="Certificates to sign with; goes with --key.")
    ] = None
    key: Annotated[str | None, arg(metavar="PEM", help="The certificate's private key.")] = None
    attempts: Annotated[
        int, arg(help="Starts after which a job whose worker was killed has failed.")
    ] = ATTEMPTS


@dataclass(frozen=True, kw_only=True)
class Serve:
    """The queue over HTTP: POST /v1/jobs with a task's JSON. See /docs for all routes.

    Only this machine is answered unless --host is given together with --token-file.
    """

    host: Annotated[str, arg(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1"
    port: Annotated[int, arg(help="0 is any that is free.")] = PORT
    token_file: Annotated[
        Path | None, arg(metavar="FILE", help="A file with the token that clients send.")
    ] = None
    folder: Folder = None
    max_upload: Annotated[str, arg(metavar="SIZE", help="Of a request with media.")] = "512MiB"
    rate: Annotated[float, arg(help="Requests a second and client.")] = 20.0
    keep_days: Annotated[
        float | None,
        arg(help="Remove files of jobs in the queue's folder that ended so long ago (never)."),
    ] = None
    workers: OmitArgPrefixes[Workers] = field(default_factory=Workers)
    cluster: OmitArgPrefixes[OnRay] = field(default_factory=OnRay)


def main(words: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C. ValueError is the user's mistake."""
    options = parse(Serve, words, "serve")
    check_range("rate", options.rate, 0.1, 1e6)
    check_ray(options)
    token = token_of(options)
    app = app_of(options, token)
    with listening(options.host, options.port) as listener:
        return serve(options, app, listener)


def check_ray(options: Serve) -> None:
    """Raise ValueError for options that a cluster can't follow."""
    options.cluster.check()
    devices = len(options.workers.device)
    if options.cluster.ray is not None and devices > 1:
        raise ValueError(
            f"device: expected one with --ray, that of each replica, got {devices}, "
            "say how many there are by --replicas"
        )


def token_of(options: Serve) -> str:
    """The token that clients must send, empty for none. Raises ValueError for a server that others
    could reach without one.
    """
    from openlumiere.apps.server.guards import LOOPBACK, read_token

    if options.token_file is not None:
        return read_token(options.token_file)
    if options.host not in LOOPBACK:
        raise ValueError(
            f"host: expected {' or '.join(LOOPBACK)} without a token, got {options.host[:100]!r}, "
            "add --token-file FILE"
        )
    return ""


def app_of(options: Serve, token: str) -> Any:
    """The server's application. Raises ValueError where the extra is not installed."""
    try:
        from openlumiere.apps.server.app import make_app
        from openlumiere.apps.server.guards import Limits
    except ImportError as error:
        raise ValueError(
            f"serve: expected its packages, got none of {error.name}, "
            f"install them: pip install openlumiere[{EXTRA}]"
        ) from None
    limits = Limits(upload=memory(options.max_upload), rate=options.rate)
    return make_app(Queue(options.folder), limits, token)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Raises ValueError for an address or a port that can't be had."""
    check_range("port", port, 0, 65535)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(MOST_AT_ONCE)
        except OSError as error:
            raise ValueError(
                f"port: expected one that is free on {host[:100]}, got {port} "
                f"({error.strerror or error}), name another with --port"
            ) from None
        yield listener


def serve(options: Serve, app: Any, listener: socket.socket) -> int:
    """Answer until the end; 2 where a worker can't be."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    failed = threading.Event()

    def on_mistake() -> None:
        failed.set()
        server.should_exit = True

    # uvicorn hands a signal on when it has stopped: the workers are then to be stopped, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers = workers_of(options, on_mistake)
    host, port = listener.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}/docs", flush=True)
    for worker in workers:
        worker.start()
    try:
        asyncio.run(answer(server, listener, options))
    finally:
        for worker in workers:
            worker.stop()
    return 2 if failed.is_set() else 0


async def answer(server: uvicorn.Server, listener: socket.socket, options: Serve) -> None:
    """Serve, and remove old files every hour where that is asked for."""
    cleaning = asyncio.create_task(clean(options))
    try:
        await server.serve(sockets=[listener])
    finally:
        cleaning.cancel()


async def clean(options: Serve) -> None:
    """Prune every hour; each job whose files go is printed."""
    while options.keep_days is not None:
        queue = Queue(options.folder)
        for job in await asyncio.to_thread(queue.prune, options.keep_days):
            print(f"pruned the files of job {job.id}, which ended long ago", flush=True)
        await asyncio.sleep(HOUR)


def workers_of(options: Serve, on_mistake: Any) -> list[Supervisor]:
    """A worker a device, or one process for all replicas of a cluster."""
    from openlumiere.apps.server.workers import Supervisor

    if not options.workers.worker:
        return []
    devices = options.workers.device or ("cpu",)
    return [Supervisor(words_of(options, device), on_mistake) for device in devices]


def words_of(options: Serve, device: str) -> list[str]:
    """A worker's options."""
    given = options.workers
    named = {
        "--folder": options.folder,
        "--model": given.model,
        "--device": device,
        "--dtype": given.dtype,
        "--memory": given.memory or None,
        "--certificate": given.certificate,
        "--key": given.key,
        "--attempts": given.attempts,
    }
    words = [f"{name}={value}" for name, value in named.items() if value is not None]
    words += options.cluster.words()
    return [*words, *(f"--lora={each}" for each in given.lora)]
