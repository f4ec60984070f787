"""What a request must pass before anything is done for it: who, from where, how much, how often."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_BYTES = 2**20  # of a request without media
SHORTEST_TOKEN = 16  # characters
MOST_CLIENTS = 10_000  # whose rates are kept
HANG_UP = (401, 403, 413, 415, 429, 507)  # codes after which a body may still be on its way
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`upload` in bytes of a request with media, `rate` in requests a second and client; twice as
    many may come at once.
    """

    upload: int = 2**29
    rate: float = 20.0


class Refused(HTTPException):
    """A request that is refused: a line of three parts, and the code that goes with it."""

    def __init__(self, code: int, line: str):
        super().__init__(code, line)


def refusal(error: Refused) -> JSONResponse:
    """The answer to a refused request. The rest of one that is too large or not taken is not read:
    the connection ends.
    """
    headers = {"Retry-After": "1"} if error.status_code == 429 else {}
    if error.status_code in HANG_UP:
        headers["Connection"] = "close"
    if error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": error.detail}, error.status_code, headers)


class Guards:
    """An ASGI application behind its guards.

    `token` is asked for where there is one. Without one only names of this machine are answered to:
    a page of another site that a browser shows could else reach the server. Nothing is allowed to
    other origins.
    """

    def __init__(self, app: ASGIApp, limits: Limits, token: str = "", hosts: Iterable[str] = ()):
        self.app = app
        self.limits = limits
        self.token = token.encode()
        self.hosts = {*LOOPBACK, *hosts}
        self.rates: OrderedDict[str, Bucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse in a line."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self.check_rate(scope)
            self.check_origin(headers)
            self.check_token(headers)
            limited = Counted(receive, self.limit(headers))
            limited.check_announced(headers)
        except Refused as error:
            await refusal(error)(scope, receive, send)
            return
        await self.app(scope, limited, send)

    def check_rate(self, scope: Scope) -> None:
        """Raise Refused for a client that asks too often."""
        client = (scope.get("client") or ("", 0))[0]
        bucket = self.rates.pop(client, None) or Bucket(self.limits.rate)
        self.rates[client] = bucket
        if len(self.rates) > MOST_CLIENTS:
            self.rates.popitem(last=False)
        if not bucket.take():
            raise Refused(
                429,
                f"rate: expected at most {self.limits.rate:g} requests a second, got more, "
                "wait a second",
            )

    def check_origin(self, headers: Headers) -> None:
        """Raise Refused for a browser's page of another origin, and without a token for a name that
        is not this machine's.
        """
        host = headers.get("host", "")
        if not self.token and name_of(host) not in self.hosts:
            raise Refused(
                403, f"host: expected {' or '.join(LOOPBACK)}, got {host[:100]!r}, use one of these"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(
                403,
                f"origin: expected a page of this server, got {origin[:100]!r}, "
                "call it from a program",
            )

    def check_token(self, headers: Headers) -> None:
        """Raise Refused without the token; how long that takes says nothing about it."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self.token)
        if self.token and not (scheme.lower() == "bearer" and right):
            raise Refused(
                401,
                "authorization: expected Bearer and the token, got another or none, "
                "send the header Authorization: Bearer TOKEN",
            )

    def limit(self, headers: Headers) -> int:
        """Bytes of a request."""
        kind = headers.get("content-type", "")
        return JSON_BYTES if kind.startswith("application/json") else self.limits.upload


@dataclass
class Counted:
    """A request's body, up to a limit."""

    receive: Receive
    limit: int
    got: int = 0

    async def __call__(self) -> Message:
        """The next piece. Raises Refused where there is too much of it."""
        message = await self.receive()
        self.got += len(message.get("body", b""))
        if self.got > self.limit:
            raise Refused(413, self.line("more"))
        return message

    def check_announced(self, headers: Headers) -> None:
        """Raise Refused where the request says itself that it is too large."""
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self.limit:
            raise Refused(413, self.line(announced[:20]))

    def line(self, got: str) -> str:
        """What is wrong with it."""
        return f"body: expected at most {self.limit} bytes, got {got}, send a smaller file"


class Bucket:
    """Requests that a client may still make: `rate` more each second, twice as many at once."""

    def __init__(self, rate: float):
        self.rate = rate
        self.left = 2 * rate
        self.filled = time.monotonic()

    def take(self) -> bool:
        """Whether there was one left."""
        now = time.monotonic()
        self.left = min(2 * self.rate, self.left + self.rate * (now - self.filled))
        self.filled = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def name_of(host: str) -> str:
    """A host without its port: `[::1]:80` is ::1."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host


def read_token(file: Path) -> str:
    """The token in a file. Raises ValueError for one that can't be read, or is too short."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"token file: expected a file with a token, got {file} ({error}), check the path"
        ) from None
    if len(token) < SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise ValueError(
            f"token file: expected {SHORTEST_TOKEN} characters or more without blanks, "
            f"got {len(token)} in {file}, write a longer one: openssl rand -hex 32 > {file}"
        )
    return token
