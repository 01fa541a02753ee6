"""Attaches tokens to the requests of httpx, with a proof where the token is bound to a key."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import httpx

from .discovery import BODY_BYTES_MAX, Discovery, Known, challenge_parameter
from .dpop import DpopKey
from .grant import require_safe

#: RFC 9449 section 8.1.
_NONCE: Final = re.compile(r"[!#-\[\]-~]{1,256}")


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
        if response.status_code != 401 or not isinstance(request.stream, httpx.ByteStream):
            return False
        error, nonce = challenge_parameter(response, "error"), response.headers.get("dpop-nonce", "")
        if error == "use_dpop_nonce" and _NONCE.fullmatch(nonce):
            self._nonce = nonce
            return True
        return error == "invalid_token" and source.forget(token)


class TokenAuth(_Attach):
    def __init__(self, source: Tokens, audience: str, scope: str | Iterable[str], attaching: Attaching) -> None:
        super().__init__(audience, scope, attaching)
        self._source = source

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        token = self._source.token(self._audience, self._scope)
        self._attach(request, token)
        response = yield request
        if self._again(request, response, self._source, token):
            _some_of(response)
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
            await _some_of_async(response)
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
    return httpx.Request("GET", url, headers={"accept": "application/json", "accept-encoding": "identity"})


def _some_of(response: httpx.Response) -> bytes:
    """The beginning of an answer that is not the last one. httpx would read all of it, however long it is."""
    if response.is_stream_consumed:
        return response.content
    body = b""
    for part in () if _refuses_token(response) else response.iter_raw():
        body += part
        if len(body) > BODY_BYTES_MAX:
            break
    response.close()
    _is_read(response)
    return body


async def _some_of_async(response: httpx.Response) -> bytes:
    if response.is_stream_consumed:
        return response.content
    body = b""
    if not _refuses_token(response):
        async for part in response.aiter_raw():
            body += part
            if len(body) > BODY_BYTES_MAX:
                break
    await response.aclose()
    _is_read(response)
    return body


def _refuses_token(response: httpx.Response) -> bool:
    """Whether the token was refused. Then the connection is closed: it may show a certificate from before a renewal,
    and the next token, which is bound to the new one, would be refused on it."""
    return response.status_code == 401 and challenge_parameter(response, "error") == "invalid_token"


def _is_read(response: httpx.Response) -> None:
    """httpx reads each answer before it sends the next request, and fails if that was done already."""
    response.headers.pop("content-encoding", None)
    response.stream = httpx.ByteStream(b"")
    response.is_stream_consumed = response.is_closed = False


class DiscoveringAuth(_Discover):
    def __init__(self, source: Tokens, discovery: Discovery, attaching: Attaching) -> None:
        super().__init__(discovery, attaching)
        self._source = source

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        url = str(request.url)
        wanted = self._discovery.resource_of(url)
        for is_last in (False, True):
            if wanted is None:
                response = yield request
            else:
                token = self._source.token(wanted.audience, wanted.scopes)
                self._attach(request, token)
                response = yield request
                if self._again(request, response, self._source, token):
                    _some_of(response)
                    self._attach(request, self._source.token(wanted.audience, wanted.scopes))
                    response = yield request
            learned = None if is_last else self._learnable(request, response, wanted)
            if learned is None:
                return
            _some_of(response)
            if isinstance(learned, str):
                answer = yield _document(learned)
                body = _some_of(answer)
                learned = self._discovery.learn(url, response, learned, answer, body)
            wanted = learned

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        raise TypeError("an AsyncClient of httpx needs an AsyncTokenSource")
        yield request


class AsyncDiscoveringAuth(_Discover):
    def __init__(self, source: AsyncTokens, discovery: Discovery, attaching: Attaching) -> None:
        super().__init__(discovery, attaching)
        self._source = source

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        url = str(request.url)
        wanted = self._discovery.resource_of(url)
        for is_last in (False, True):
            if wanted is None:
                response = yield request
            else:
                token = await self._source.token(wanted.audience, wanted.scopes)
                self._attach(request, token)
                response = yield request
                if self._again(request, response, self._source, token):
                    await _some_of_async(response)
                    self._attach(request, await self._source.token(wanted.audience, wanted.scopes))
                    response = yield request
            learned = None if is_last else self._learnable(request, response, wanted)
            if learned is None:
                return
            await _some_of_async(response)
            if isinstance(learned, str):
                answer = yield _document(learned)
                body = await _some_of_async(answer)
                learned = self._discovery.learn(url, response, learned, answer, body)
            wanted = learned

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise TypeError("a Client of httpx needs a TokenSource")
        yield request
