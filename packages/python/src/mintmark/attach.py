"""Attaches tokens to the requests of httpx, with a proof where the token is bound to a key."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

import httpx

from .discovery import BODY_BYTES_MAX, Discovery, Known
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


class _Discover(_Attach):
    """Sends the first request without a token, and learns from its refusal which one is wanted."""

    def __init__(self, discovery: Discovery, attaching: Attaching) -> None:
        super().__init__("", (), attaching)
        self._discovery = discovery

    def _learnable(self, request: httpx.Request, response: httpx.Response, sent: Known | None) -> str | Known | None:
        if not isinstance(request.stream, httpx.ByteStream):
            return None
        more = self._discovery.more_scopes(response, sent)
        return more or self._discovery.document_url(str(request.url), response, sent)


def _document(url: str) -> httpx.Request:
    # Of its own, without what the client adds: a cookie is no business of the document.
    return httpx.Request("GET", url, headers={"accept": "application/json"})


class DiscoveringAuth(_Discover):
    def __init__(self, source: Tokens, discovery: Discovery, attaching: Attaching) -> None:
        super().__init__(discovery, attaching)
        self._source = source

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        url = str(request.url)
        known = self._discovery.resource_of(url)
        if known is None:
            response = yield request
        else:
            token = self._source.token(known.audience, known.scopes)
            self._attach(request, token)
            response = yield request
            if self._again(request, response, self._source, token):
                self._attach(request, self._source.token(known.audience, known.scopes))
                response = yield request
        learned = self._learnable(request, response, known)
        if isinstance(learned, str):
            answer = yield _document(learned)
            body = b""
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    break
            answer.close()
            learned = self._discovery.learn(url, response, learned, answer, body)
        if learned is not None:
            self._attach(request, self._source.token(learned.audience, learned.scopes))
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        raise TypeError("an AsyncClient of httpx needs an AsyncTokenSource")
        yield request


class AsyncDiscoveringAuth(_Discover):
    def __init__(self, source: AsyncTokens, discovery: Discovery, attaching: Attaching) -> None:
        super().__init__(discovery, attaching)
        self._source = source

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        url = str(request.url)
        known = self._discovery.resource_of(url)
        if known is None:
            response = yield request
        else:
            token = await self._source.token(known.audience, known.scopes)
            self._attach(request, token)
            response = yield request
            if self._again(request, response, self._source, token):
                self._attach(request, await self._source.token(known.audience, known.scopes))
                response = yield request
        learned = self._learnable(request, response, known)
        if isinstance(learned, str):
            answer = yield _document(learned)
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    break
            await answer.aclose()
            learned = self._discovery.learn(url, response, learned, answer, body)
        if learned is not None:
            self._attach(request, await self._source.token(learned.audience, learned.scopes))
            yield request

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise TypeError("a Client of httpx needs a TokenSource")
        yield request
