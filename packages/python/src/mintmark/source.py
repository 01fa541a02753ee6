"""Tokens for callers: kept, renewed early and beside the traffic, and used on while the service is away.

Long because the two kinds of sources, for threads and for a loop of events, stand side by side.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import httpx

from .attach import AsyncDiscoveringAuth, AsyncTokenAuth, Attaching, DiscoveringAuth, TokenAuth
from .credentials import Credential
from .discovery import Discovery
from .dpop import DpopKey
from .forks import prepare_for_forks
from .grant import Answer, Flow, Grant, Granted, TokenError
from .keyset import elapsed_seconds

_log: Final = logging.getLogger("mintmark")
#: The share of its life after which a token is renewed: a random one in between, so that callers that started together
#: do not come back together.
_RENEW_BETWEEN: Final = (0.6, 0.8)
#: Seconds before its end at which a token is not used any more: it has to arrive and be verified.
_MARGIN_SECONDS: Final = 2.0
#: Seconds until the next attempt after one that failed.
_PAUSE_SECONDS: Final = 1.0
#: A token that is refused when it is younger is not replaced: another one would be refused as well.
_REFUSED_SECONDS: Final = 10.0
_ENTRIES_MAX: Final = 1_000

Waiting = TypeVar("Waiting")


@dataclass
class _Entry(Generic[Waiting]):
    """What is known for one audience and its scopes. Moments are of the clock that only grows."""

    granted: Granted | None = None
    since: float = 0
    renew_at: float = 0
    ends_at: float = 0
    retry_at: float = 0
    error: TokenError | None = None
    in_flight: Waiting | None = None

    def live(self, now: float) -> str | None:
        return self.granted.token if self.granted is not None and now < self.ends_at else None

    def take(self, granted: Granted, since: float) -> None:
        life = granted.lifetime_seconds
        self.granted, self.error, self.since = granted, None, since
        self.renew_at = since + life * random.uniform(*_RENEW_BETWEEN)  # noqa: S311
        self.ends_at = since + max(life - _MARGIN_SECONDS, life / 2)
        self.retry_at = 0

    def fail(self, error: TokenError, now: float) -> None:
        self.error = error
        self.retry_at = now + max(error.retry_after, _PAUSE_SECONDS)
        _log.warning("token_unavailable: %s", error)


@dataclass
class _Settings:
    grant: Grant
    tls: ssl.SSLContext | None
    timeout_seconds: float
    transport: Any
    elapsed: Callable[[], float]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client_options(self) -> dict[str, Any]:
        return {
            "verify": True if self.tls is None else self.tls,
            "timeout": self.timeout_seconds,
            # A redirect would carry the secret to another place.
            "follow_redirects": False,
            "transport": self.transport,
        }


class _Source(Generic[Waiting]):
    """What the two kinds of sources share."""

    def __init__(
        self,
        issuer: str,
        credential: Credential,
        *,
        token_endpoint: str | None = None,
        tls: ssl.SSLContext | None = None,
        dpop: DpopKey | None = None,
        timeout_seconds: float = 5,
        allow_insecure_http: bool = False,
        transport: Any = None,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        grant = Grant(
            issuer,
            credential,
            token_endpoint=token_endpoint,
            dpop=dpop,
            allow_insecure_http=allow_insecure_http,
            elapsed=elapsed,
        )
        self._settings = _Settings(grant, tls, timeout_seconds, transport, elapsed)
        #: What the requests that carry the tokens need to know.
        self.attaching = Attaching(dpop, allow_insecure_http)
        self._issuer = issuer
        self._entries: OrderedDict[tuple[str, tuple[str, ...]], _Entry[Waiting]] = OrderedDict()
        prepare_for_forks(self)

    def after_fork(self) -> None:
        self._settings.lock = threading.Lock()
        self._leave_requests()

    def _leave_requests(self) -> None:
        for entry in list(self._entries.values()):
            entry.in_flight = None

    def _entry(self, audience: str, scope: str | Iterable[str]) -> tuple[_Entry[Waiting], Flow]:
        scopes = tuple(sorted(set(scope.split() if isinstance(scope, str) else scope)))
        with self._settings.lock:
            entry = self._entries.setdefault((audience, scopes), _Entry())
            self._entries.move_to_end((audience, scopes))
            if len(self._entries) > _ENTRIES_MAX:
                self._entries.popitem(last=False)
        return entry, self._settings.grant.ask(audience, scopes)

    def _discovery(self, origins: Iterable[str], audiences: Iterable[str]) -> Discovery:
        return Discovery(self._issuer, origins, audiences, self.attaching.allow_insecure_http, self._settings.elapsed)

    def forget(self, token: str) -> bool:
        """Drop a token that a service refused. False if it is too young for that to help. True if another caller was
        faster: then there is another one."""
        now = self._settings.elapsed()
        with self._settings.lock:
            for entry in self._entries.values():
                if entry.live(now) == token:
                    if now - entry.since < _REFUSED_SECONDS:
                        return False
                    entry.granted = None
        return True


class TokenSource(_Source["Future[None]"]):
    """Gets and keeps tokens. Make one for each client, and share it between threads."""

    _client: httpx.Client | None = None
    _process = 0

    def token(self, audience: str, scope: str | Iterable[str] = ()) -> str:
        """A token that lives, or TokenError."""
        entry, flow = self._entry(audience, scope)
        now = self._settings.elapsed()
        token = entry.live(now)
        if token is not None:
            if now >= entry.renew_at and now >= entry.retry_at:
                self._renew_aside(entry, flow)
            return token
        leads, future = self._turn(entry)
        if leads:
            self._renew(entry, flow, future)
        else:
            self._wait(entry, future)
        token = entry.live(self._settings.elapsed())
        if token is None:
            raise _failure(entry)
        return token

    def auth(self, audience: str, scope: str | Iterable[str] = ()) -> httpx.Auth:
        """For httpx: `httpx.Client(auth=source.auth("https://orders.example.com"))`."""
        return TokenAuth(self, audience, scope, self.attaching)

    def discovering_auth(self, origins: Iterable[str], *, audiences: Iterable[str] = ()) -> httpx.Auth:
        """For services at these origins that say themselves which token they want (RFC 9728). They must name the issuer
        of this source. `audiences` are names that they may have although they are no URLs of theirs."""
        return DiscoveringAuth(self, self._discovery(origins, audiences), self.attaching)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> TokenSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, entry: _Entry[Future[None]], future: Future[None]) -> None:
        try:
            future.result(timeout=self._settings.timeout_seconds * 10)
        except FutureTimeout:
            # A fork in the middle of a request leaves a future that nobody completes.
            with self._settings.lock:
                if entry.in_flight is future:
                    entry.in_flight = None

    def _turn(self, entry: _Entry[Future[None]]) -> tuple[bool, Future[None]]:
        with self._settings.lock:
            if entry.in_flight is not None:
                return False, entry.in_flight
            future: Future[None] = Future()
            if self._settings.elapsed() < entry.retry_at:
                # It was tried just now. Everybody hears the same.
                future.set_result(None)
                return False, future
            entry.in_flight = future
            return True, future

    def _renew_aside(self, entry: _Entry[Future[None]], flow: Flow) -> None:
        leads, future = self._turn(entry)
        if leads:
            arguments = (entry, flow, future)
            try:
                threading.Thread(target=self._renew, args=arguments, name="mintmark-token", daemon=True).start()
            except RuntimeError:
                # There are too many threads, or the process ends.
                self._renew(*arguments)

    def _renew(self, entry: _Entry[Future[None]], flow: Flow, future: Future[None]) -> None:
        since = self._settings.elapsed()
        try:
            entry.take(self._run(flow), since)
        except TokenError as error:
            entry.fail(error, self._settings.elapsed())
        except Exception as error:  # A file that cannot be read, for example: everybody who waits hears of it.
            entry.fail(TokenError("unavailable", f"{type(error).__name__}: {error}"), self._settings.elapsed())
        finally:
            with self._settings.lock:
                if entry.in_flight is future:
                    entry.in_flight = None
            future.set_result(None)

    def _run(self, flow: Flow) -> Granted:
        with self._settings.lock:
            # Two processes must not write to one connection: after a fork, the child makes its own.
            if self._client is None or self._process != os.getpid():
                self._process, self._client = os.getpid(), httpx.Client(**self._settings.client_options())
            client = self._client
        answer: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = flow.send(answer)
                answer = None
                if isinstance(step, float):
                    time.sleep(step)
                    continue
                try:
                    with closing(client.send(step, stream=True)) as response:
                        read = Answer(response, self._settings.timeout_seconds)
                        for part in response.iter_bytes():
                            read.take(part)
                    answer = read.whole
                except httpx.TransportError as error:
                    answer = error
        except StopIteration as end:
            granted: Granted = end.value
            return granted


class AsyncTokenSource(_Source["asyncio.Task[None]"]):
    """The same for asyncio. Make one for each client and loop of events."""

    _client: httpx.AsyncClient | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def token(self, audience: str, scope: str | Iterable[str] = ()) -> str:
        """A token that lives, or TokenError. Whoever is cancelled leaves the request to the others."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # As in async views of Django under WSGI: each call has a loop of its own, and the last one is over.
            self._loop, self._client = loop, None
            self._leave_requests()
        entry, flow = self._entry(audience, scope)
        now = self._settings.elapsed()
        token = entry.live(now)
        due = now >= entry.retry_at
        if entry.in_flight is None and due and (token is None or now >= entry.renew_at):
            entry.in_flight = asyncio.create_task(self._renew(entry, flow))
        if token is not None:
            return token
        if entry.in_flight is not None:
            await asyncio.shield(entry.in_flight)
        token = entry.live(self._settings.elapsed())
        if token is None:
            raise _failure(entry)
        return token

    def auth(self, audience: str, scope: str | Iterable[str] = ()) -> httpx.Auth:
        """For httpx: `httpx.AsyncClient(auth=source.auth("https://orders.example.com"))`."""
        return AsyncTokenAuth(self, audience, scope, self.attaching)

    def discovering_auth(self, origins: Iterable[str], *, audiences: Iterable[str] = ()) -> httpx.Auth:
        """The same as that of TokenSource, for httpx.AsyncClient."""
        return AsyncDiscoveringAuth(self, self._discovery(origins, audiences), self.attaching)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def __aenter__(self) -> AsyncTokenSource:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _renew(self, entry: _Entry[asyncio.Task[None]], flow: Flow) -> None:
        since = self._settings.elapsed()
        try:
            entry.take(await self._run(flow), since)
        except TokenError as error:
            entry.fail(error, self._settings.elapsed())
        except Exception as error:
            entry.fail(TokenError("unavailable", f"{type(error).__name__}: {error}"), self._settings.elapsed())
        finally:
            entry.in_flight = None

    async def _run(self, flow: Flow) -> Granted:
        client = self._client = self._client or httpx.AsyncClient(**self._settings.client_options())
        answer: httpx.Response | httpx.TransportError | None = None
        try:
            while True:
                step = flow.send(answer)
                answer = None
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    continue
                try:
                    async with aclosing(await client.send(step, stream=True)) as response:
                        read = Answer(response, self._settings.timeout_seconds)
                        async for part in response.aiter_bytes():
                            read.take(part)
                    answer = read.whole
                except httpx.TransportError as error:
                    answer = error
        except StopIteration as end:
            granted: Granted = end.value
            return granted


def _failure(entry: _Entry[Any]) -> TokenError:
    error = entry.error
    # One error is raised for many callers: without this, the traces of all would hang on it.
    return TokenError("unavailable", "no token") if error is None else error.with_traceback(None)
