"""Attaches tokens to the requests of httpx, with a proof where the token is bound to a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

import httpx

from .dpop import DpopKey
from .grant import require_safe


@dataclass(frozen=True)
class Attaching:
    dpop: DpopKey | None
    allow_insecure_http: bool


class _Forgets(Protocol):
    def forget(self, token: str) -> bool: ...


class Tokens(_Forgets, Protocol):
    def token(self, audience: str, scope: str | Iterable[str] = ()) -> str: ...


class AsyncTokens(_Forgets, Protocol):
    async def token(self, audience: str, scope: str | Iterable[str] = ()) -> str: ...


class _Attach(httpx.Auth):
    def __init__(self, audience: str, scope: str | Iterable[str], attaching: Attaching) -> None:
        self._audience = audience
        self._scope = scope if isinstance(scope, str) else tuple(scope)
        self._attaching = attaching
        self._nonce: str | None = None

    def _attach(self, request: httpx.Request, token: str) -> None:
        require_safe(str(request.url), self._attaching.allow_insecure_http)
        dpop = self._attaching.dpop
        request.headers["Authorization"] = f"{'Bearer' if dpop is None else 'DPoP'} {token}"
        if dpop is not None:
            request.headers["DPoP"] = dpop.proof(request.method, str(request.url), token, self._nonce)

    def _again(self, request: httpx.Request, response: httpx.Response, source: _Forgets, token: str) -> bool:
        """Whether a refused request is worth a second attempt. A body that was a stream cannot be sent again."""
        challenge = response.headers.get("www-authenticate", "")
        if response.status_code != 401 or not isinstance(request.stream, httpx.ByteStream):
            return False
        if 'error="use_dpop_nonce"' in challenge and "dpop-nonce" in response.headers:
            self._nonce = response.headers["dpop-nonce"]
            return True
        return 'error="invalid_token"' in challenge and source.forget(token)


class TokenAuth(_Attach):
    def __init__(self, source: Tokens, audience: str, scope: str | Iterable[str], attaching: Attaching) -> None:
        super().__init__(audience, scope, attaching)
        self._source = source

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._source.token(self._audience, self._scope)
        self._attach(request, token)
        response = yield request
        if self._again(request, response, self._source, token):
            self._attach(request, self._source.token(self._audience, self._scope))
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        raise TypeError("an AsyncClient of httpx needs an AsyncTokenSource")
        yield request


class AsyncTokenAuth(_Attach):
    def __init__(self, source: AsyncTokens, audience: str, scope: str | Iterable[str], attaching: Attaching) -> None:
        super().__init__(audience, scope, attaching)
        self._source = source

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._source.token(self._audience, self._scope)
        self._attach(request, token)
        response = yield request
        if self._again(request, response, self._source, token):
            self._attach(request, await self._source.token(self._audience, self._scope))
            yield request

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise TypeError("a Client of httpx needs a TokenSource")
        yield request
