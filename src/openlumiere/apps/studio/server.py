"""The studio's server on loopback, and the worker beside it."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, RedirectResponse, Response

from openlumiere.apps.cli.forms import Model
from openlumiere.apps.queue import Queue, Worker

HOST = "127.0.0.1"
NAMES = [HOST, "localhost"]
LARGEST = "2gb"  # of one upload
KEPT = (3600, 7 * 86400)  # seconds: how often old uploads are looked for, and when they are old
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'none'; form-action 'self'"
)
"""The browser asks this machine alone."""


def serve(queue: Queue, model: Model, port: int, browse: bool) -> None:
    """The page, until it is interrupted; a worker makes its jobs meanwhile.

    Raises ValueError for a port that is taken.
    """
    listening = listen(port)
    worker = prepare_worker(queue.folder, model)
    try:
        app = application(queue, lambda: stopped(worker))
        worker.start()
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        print(address, flush=True)
        if browse:
            threading.Timer(1, webbrowser.open, [address]).start()
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
        if worker.pid:
            worker.terminate()
            worker.join()


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 is any that is free. Raises ValueError."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"port: expected one that is free, got {port} ({reason}), name another with --port"
        ) from None
    return listening


def prepare_worker(folder: Path, model: Model) -> Any:
    """A process, to be started, that makes the queue's jobs as long as this one lives."""
    context = multiprocessing.get_context("spawn")
    return context.Process(target=work, args=(folder, model))


def work(folder: Path, model: Model) -> None:
    """Make jobs until the studio ends; where another worker has the device, wait for it."""
    from openlumiere.apps.cli import many_imports, one_line

    with many_imports():
        from openlumiere.apps.cli import loading

    def loaded() -> Any:
        settings = loading.settings_of(model.certificate, model.key)
        return loading.load(
            model.model, model.device, model.dtype, settings, model.memory, model.lora
        )

    worker = Worker(Queue(folder), loaded, device=model.device)
    threading.Thread(target=watch, args=(worker,), daemon=True).start()
    try:
        worker.run(follow=True, wait=True)
    except ValueError as error:
        print(f"lumiere: {one_line(str(error))}", flush=True)
        raise SystemExit(2) from None


def watch(worker: Worker) -> None:
    """End the worker with the studio, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        worker.stop()


def stopped(worker: Any) -> str:
    """Why no job is made, where the worker is gone."""
    if worker.is_alive():
        return ""
    return (
        f"worker: expected one that makes jobs, got exit code {worker.exitcode}, "
        "see the terminal and start the studio again"
    )


def application(queue: Queue, warning: Callable[[], str]) -> Any:
    """The app: a page a language, and the files of jobs by their ids."""
    quiet(queue.folder)
    import gradio as gr

    from openlumiere.apps.studio.page import CSS, THEME, Page
    from openlumiere.apps.studio.words import LANGUAGES

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def opened(request: Request) -> Response:
        return RedirectResponse(f"/{wanted(request.headers.get('accept-language', ''))}/")

    @app.get("/jobs/{name}/{what}")
    def file(name: str, what: str) -> Response:
        path = file_of(queue, name, what)
        if path is None or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    for language in LANGUAGES:
        blocks = Page(queue, language, warning).build()
        blocks.delete_cache = KEPT
        gr.mount_gradio_app(
            app,
            blocks,
            f"/{language}",
            server_name=HOST,
            max_file_size=LARGEST,
            allowed_paths=[str(queue.folder)],
            theme=THEME,
            css_paths=CSS,
            footer_links=["settings"],
            ssr_mode=False,
            pwa=False,
        )
    app.middleware("http")(contained)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES)
    return app


def quiet(folder: Path) -> None:
    """Gradio asks nobody, and puts uploads beside the queue."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")


async def contained(request: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    """The answer, with the policy that keeps the page to this machine."""
    answer = await call_next(request)
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def wanted(accepted: str) -> str:
    """The first of a browser's languages that the page has; English otherwise."""
    from openlumiere.apps.studio.words import LANGUAGES

    codes = [part.strip()[:2].lower() for part in accepted.split(",")]
    return next((code for code in codes if code in LANGUAGES), "en")


def file_of(queue: Queue, name: str, what: str) -> Path | None:
    """A job's result, preview, or what it was given; None for anything else."""
    try:
        job = queue.get(name)
    except ValueError:
        return None
    given = job.task.media()
    before = given.get("clip") or given.get("image")
    paths = {
        "result": job.results[0] if job.results else "",
        "preview": job.preview,
        "before": before.path if before else "",
    }
    return Path(paths[what]) if paths.get(what) else None
