"""What Prometheus reads: jobs by state, requests, and how long they took."""

from __future__ import annotations

import time
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openlumiere.apps.queue import STATES, Queue
from openlumiere.apps.queue.job import State

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)  # seconds


class Metrics:
    """An ASGI application whose requests are counted and timed."""

    def __init__(self, app: ASGIApp, queue: Queue):
        self.app = app
        self.registry = CollectorRegistry()
        jobs = Gauge("lumiere_jobs", "Jobs by state.", ["state"], registry=self.registry)
        for state in STATES:
            jobs.labels(state).set_function(partial(count, queue, state))
        paused = Gauge("lumiere_paused", "1: no job starts.", registry=self.registry)
        paused.set_function(lambda: float(queue.paused))
        labels = ["method", "route", "status"]
        self.requests = Counter(
            "lumiere_requests", "Requests that were answered.", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "lumiere_request_seconds",
            "Until the first byte of the answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and note how."""
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if route != "other" else "other"
                self.requests.labels(method, route, str(message["status"])).inc()
                self.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self.app(scope, receive, noted)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


def count(queue: Queue, state: State) -> float:
    """Jobs in a state, now."""
    return float(queue.counts()[state])
