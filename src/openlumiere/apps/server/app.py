"""The server's routes: each is a few lines on the queue."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import TypeAdapter
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile as SentFile
from starlette.responses import FileResponse, JSONResponse

from openlumiere.apps.queue import Job, Queue
from openlumiere.apps.queue.job import State
from openlumiere.apps.server.events import events
from openlumiere.apps.server.guards import Guards, Limits, Refused, refusal
from openlumiere.apps.server.metrics import Metrics
from openlumiere.apps.server.shown import Problem, ShownJob, shown_job
from openlumiere.apps.server.uploads import Uploads, task_of
from openlumiere.tasks import KINDS, AnyTask
from openlumiere.tasks.base import shown

Format = Literal["mp4", "webm", "mov", "gif", "webp", "apng", "png", "safetensors"]
PART = 2**16  # bytes of a file that are read at once
MOST_FILES = 20
MOST_LISTED = 1000
TASKS = "#/components/schemas/{model}"


class Api:
    """The routes of one queue."""

    def __init__(self, queue: Queue):
        self.queue = queue
        self.uploads = Uploads(queue.folder)

    async def upload(self, request: Request) -> JSONResponse:
        """Store a picture, a clip, a mask or a style: the body itself, or the field `file` of a
        form. Tasks name it as `upload:ID`. The same file again has the same id.
        """
        if is_form(request):
            async with request.form(max_files=1, max_fields=1) as form:
                file = form.get("file")
                if not isinstance(file, SentFile):
                    raise Refused(422, "file: expected a file, got none, send it as the field file")
                return JSONResponse({"id": await self.uploads.take(pieces(file))}, 201)
        return JSONResponse({"id": await self.uploads.take(request.stream())}, 201)

    async def add(
        self,
        request: Request,
        format: Annotated[Format | None, Query(description="mp4 unless the task says.")] = None,
        lossless: Annotated[bool, Query(description="Keep every pixel.")] = False,
        strict: Annotated[
            bool, Query(description="Fail where it strobes, jumps, is blank.")
        ] = False,
        allow_partial: Annotated[bool, Query(description="Take what a broken file has.")] = False,
        priority: Annotated[int, Query(ge=-1000, le=1000, description="Higher is sooner.")] = 0,
        idempotency_key: Annotated[str, Header(max_length=200)] = "",
    ) -> JSONResponse:
        """Add a job: a task as JSON, or as the field `task` of a form whose other fields are files,
        which it names as `upload:FIELD`. With an `Idempotency-Key` the same request twice is one
        job.
        """
        if is_form(request):
            task = await self.task_of_form(request)
        else:
            task = await run_in_threadpool(task_of, decoded(await body(request)), self.uploads.find)
        known = await run_in_threadpool(self.known, idempotency_key)
        job = await run_in_threadpool(
            lambda: self.queue.add(
                task,
                suffix=f".{format}" if format else "",
                lossless=lossless,
                strict=strict,
                allow_partial=allow_partial,
                priority=priority,
                key=idempotency_key,
            )
        )
        code = 200 if known else 201
        return JSONResponse(self.shown(job), code, {"Location": f"/v1/jobs/{job.id}"})

    def known(self, key: str) -> bool:
        """Whether there is a job of this key already."""
        return bool(key) and self.queue.of_key(key) is not None

    async def task_of_form(self, request: Request) -> Any:
        """The task of a form, its files stored."""
        async with request.form(max_files=MOST_FILES, max_fields=1) as form:
            sent = {name: each for name, each in form.items() if isinstance(each, SentFile)}
            asked = decoded(str(form.get("task", "")))
            ids = {name: await self.uploads.take(pieces(each)) for name, each in sent.items()}

        def find(name: str) -> Path:
            return self.uploads.find(ids.get(name, name))

        return await run_in_threadpool(task_of, asked, find)

    async def list(
        self,
        state: Annotated[list[State] | None, Query(description="Only in these states.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> list[ShownJob]:
        """Jobs, those that wait in the order in which they will start."""
        jobs = await run_in_threadpool(self.queue.list, *(state or ()))
        return [shown_job(job, self.queue.folder) for job in jobs[:limit]]

    async def get(self, id: str) -> ShownJob:
        """A job as it is now."""
        return shown_job(self.found(id), self.queue.folder)

    async def events(self, id: str) -> EventSourceResponse:
        """What happens to a job as server-sent events: `state`, `step` and `preview` as they
        change, then `done`, `error` or `cancelled`. Each holds the job.
        """
        job = self.found(id)
        return EventSourceResponse(events(self.queue, job.id))

    async def result(self, id: str) -> FileResponse:
        """The file of a job that is done."""
        job = self.found(id)
        if job.pruned:
            raise Refused(
                410, "result: expected one that is kept, got one that was pruned, retry the job"
            )
        if job.state != "done":
            raise Refused(
                409,
                f"result: expected a job that is done, got one that is {job.state}, "
                "listen to its events",
            )
        path = Path(job.results[0])
        if not path.is_file():
            raise Refused(404, f"result: expected a file, got none in {path.name}, retry the job")
        return FileResponse(path, filename=f"{job.id}{path.suffix}")

    async def preview(self, id: str) -> FileResponse:
        """A picture of the clean estimate, marked and signed as all that a model makes."""
        job = self.found(id)
        if not job.preview or not Path(job.preview).is_file():
            raise Refused(404, "preview: expected one, got none yet, listen to the job's events")
        return FileResponse(job.preview, headers={"Cache-Control": "no-store"})

    async def cancel(self, id: str) -> ShownJob:
        """Cancel a job before it starts, or within a step. One that has ended stays."""
        job = await run_in_threadpool(self.queue.cancel, self.found(id).id)
        return shown_job(job, self.queue.folder)

    def found(self, name: str) -> Job:
        """The job of this id. Raises Refused."""
        try:
            return self.queue.get(name)
        except ValueError as error:
            raise Refused(404, str(error)) from None

    def shown(self, job: Job) -> dict[str, Any]:
        """A job as JSON."""
        return shown_job(job, self.queue.folder).model_dump()


def make_app(queue: Queue, limits: Limits | None = None, token: str = "") -> Guards:
    """The server of a queue, behind its guards."""
    api = Api(queue)
    app = FastAPIOffline(
        title="openlumiere", summary="Jobs of controllable video generation.", redoc_url=None
    )
    add_routes(app, api)
    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(ValueError, on_mistake)
    app.add_exception_handler(RequestValidationError, on_unread)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    metrics = Metrics(app, queue)

    async def measured() -> Response:
        """What Prometheus reads."""
        text = await run_in_threadpool(metrics.text)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/metrics", measured, response_class=Response)
    return Guards(metrics, limits or Limits(), token)


def add_routes(app: FastAPI, api: Api) -> None:
    """What is answered, and where."""
    one = "/v1/jobs/{id}"
    mistakes: Any = {code: {"model": Problem} for code in (401, 404, 413, 422, 429)}
    task = {"requestBody": {"required": True, "content": contents()}}
    app.add_api_route(
        "/v1/uploads", api.upload, methods=["POST"], status_code=201, responses=mistakes
    )
    app.add_api_route(
        "/v1/jobs",
        api.add,
        methods=["POST"],
        status_code=201,
        response_model=ShownJob,
        responses=mistakes,
        openapi_extra=task,
    )
    app.add_api_route("/v1/jobs", api.list, response_model=list[ShownJob])
    app.add_api_route(one, api.get, response_model=ShownJob, responses=mistakes)
    app.add_api_route(one, api.cancel, methods=["DELETE"], response_model=ShownJob)
    app.add_api_route(f"{one}/events", api.events, response_class=EventSourceResponse)
    app.add_api_route(f"{one}/result", api.result, response_class=FileResponse)
    app.add_api_route(f"{one}/preview", api.preview, response_class=FileResponse)


def contents() -> dict[str, Any]:
    """A task in a request, for the description of the routes."""
    kinds = [{"$ref": TASKS.format(model=kind.__name__)} for kind in KINDS.values()]
    task = {"oneOf": kinds, "discriminator": {"propertyName": "kind"}}
    form = {
        "type": "object",
        "required": ["task"],
        "properties": {"task": task},
        "additionalProperties": {"type": "string", "format": "binary"},
    }
    return {"application/json": {"schema": task}, "multipart/form-data": {"schema": form}}


def described(app: FastAPI) -> dict[str, Any]:
    """The routes in OpenAPI's words, with the models of all tasks."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version="1", summary=app.summary, routes=app.routes)
        models = TypeAdapter(AnyTask).json_schema(ref_template=TASKS)
        found.setdefault("components", {}).setdefault("schemas", {}).update(models["$defs"])
        app.openapi_schema = found
    return app.openapi_schema


def is_form(request: Request) -> bool:
    """Whether a request is a form with files."""
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def body(request: Request) -> str:
    """The JSON of a request. Raises Refused for another kind, which a browser's page of another
    site could send.
    """
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip() != "application/json":
        raise Refused(
            415, f"content type: expected application/json, got {kind[:100]!r}, send JSON"
        )
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError:
        raise Refused(422, "task: expected UTF-8, got other bytes, encode it so") from None


def decoded(text: str) -> dict[str, Any]:
    """A table of JSON. Raises ValueError."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"task: expected JSON, got {shown(text)} ({error}), mend it") from None
    if not isinstance(found, dict):
        raise ValueError(f"task: expected an object, got {shown(found)}, send a task's fields")
    return found


async def pieces(file: UploadFile | SentFile) -> AsyncIterator[bytes]:
    """A file of a form, a piece at a time."""
    while piece := await file.read(PART):
        yield piece


def on_refused(_request: Request, error: Exception) -> Response:
    """A refused request."""
    assert isinstance(error, Refused)
    return refusal(error)


def on_mistake(_request: Request, error: Exception) -> Response:
    """A client's mistake: the line that the command would print."""
    conflict = str(error).startswith("idempotency key")
    return JSONResponse({"error": str(error)}, 409 if conflict else 422)


def on_unread(_request: Request, error: Exception) -> Response:
    """A parameter that can't be."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()[0]
    name = found["loc"][-1]
    got = shown(found.get("input"))
    told = found["msg"].removeprefix("Input should be ")
    return JSONResponse({"error": f"{name}: expected {told}, got {got}, change it"}, 422)
