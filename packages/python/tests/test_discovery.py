"""From a bare 401 to a token (RFC 9728): with the challenges of our verifier, and with those of a stranger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from support import ISSUER, Answers, Clock, Key, Server, key_set

from mintmark import AsyncTokenSource, ClientSecret, DpopKey, TokenError, TokenSource, Verifier, VerifyError
from mintmark.discovery import challenge_parameter
from mintmark.web import Gate, Request

KEY = Key("a")
ORDERS = "https://orders.example"
DOCUMENT = f"{ORDERS}/.well-known/oauth-protected-resource"
METADATA = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"}


class Guarded:
    """A service that our verifier guards. POST needs orders:write, everything else orders:read."""

    def __init__(self, audience: str = ORDERS, issuer: str = ISSUER) -> None:
        keys = Answers(key_set(KEY))
        self.verifier = Verifier(issuer=issuer, audience=audience, transport=keys, resource_metadata=DOCUMENT)
        self.gate = Gate(self.verifier, ORDERS)
        self.document: Any = self.verifier.protected_resource(["orders:read", "orders:write"])
        self.transport = Answers(self.answer)
        self.seen: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        # Now: the client writes a token into the same request later.
        self.seen.append(f"{request.method} {path} {'token' if 'authorization' in request.headers else 'bare'}")
        if path.startswith("/.well-known/"):
            return httpx.Response(200, json=self.document)
        scope = "orders:write" if request.method == "POST" else "orders:read"
        try:
            facts = Request(request.method, path, list(request.headers.items()), None)
            claims = self.gate.authenticate(facts, (scope,))
        except VerifyError as error:
            return httpx.Response(error.status, headers=error.headers)
        return httpx.Response(200, json=sorted(claims.scopes))


class Issuer:
    """Gives what is asked for, in tokens that are signed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.clock = Clock()
        options: dict[str, Any] = {"transport": Answers(self.answer), "elapsed": self.clock.elapsed}
        self.source = TokenSource(ISSUER, ClientSecret("billing", "secret"), **options)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=METADATA)
        form = parse_qs(request.content.decode())
        audience, scope = form["resource"][0], form.get("scope", ["orders:read"])[0]
        self.asked.append((audience, scope))
        token = KEY.token(time.time(), aud=audience, scope=scope, jti=str(len(self.asked)))
        return httpx.Response(200, json={"access_token": token, "token_type": "Bearer", "expires_in": 300})


def client(issuer: Issuer, service: Guarded, **more: Any) -> httpx.Client:
    auth = issuer.source.discovering_auth([ORDERS], **more)
    return httpx.Client(base_url=ORDERS, transport=service.transport, auth=auth)


def test_a_service_says_which_token_it_wants_and_gets_it() -> None:
    issuer, service = Issuer(), Guarded()
    with client(issuer, service) as orders:
        assert orders.get("/orders").json() == ["orders:read"]
        asked = ["GET /orders bare", "GET /.well-known/oauth-protected-resource bare", "GET /orders token"]
        assert service.seen == asked
        # It is known from now on.
        assert orders.get("/orders").status_code == 200
        assert service.seen[3:] == ["GET /orders token"]
        # One scope more.
        assert orders.post("/orders", json={}).json() == ["orders:read", "orders:write"]
        issuer.clock.pass_seconds(3_600)
        assert orders.get("/orders").status_code == 200
    assert issuer.asked[:2] == [(ORDERS, "orders:read"), (ORDERS, "orders:read orders:write")]
    assert service.seen[-3:] == asked


def test_asyncio() -> None:
    issuer, service = Issuer(), Guarded()

    class Transport(httpx.AsyncBaseTransport):
        def __init__(self, answers: Answers) -> None:
            self.answers = answers

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await request.aread()
            return self.answers.handle_request(request)

    async def call() -> Any:
        transport = Transport(Answers(issuer.answer))
        async with AsyncTokenSource(ISSUER, ClientSecret("billing", "secret"), transport=transport) as source:
            auth = source.discovering_auth([ORDERS])
            async with httpx.AsyncClient(transport=Transport(service.transport), auth=auth) as orders:
                return (await orders.get(f"{ORDERS}/orders")).json()

    assert asyncio.run(call()) == ["orders:read"]


def test_an_audience_elsewhere_has_to_be_allowed() -> None:
    issuer, service = Issuer(), Guarded("https://other.example")
    with client(issuer, service) as orders, pytest.raises(TokenError, match="and not for"):
        orders.get("/orders")
    assert issuer.asked == []
    with client(issuer, service, audiences=["https://other.example"]) as orders:
        assert orders.get("/orders").status_code == 200


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"authorization_servers": ["https://stranger.example"]}, "does not name"),
        ({"authorization_servers": [f"{ISSUER}/"]}, "does not name"),
        ({"authorization_servers": ISSUER}, "does not name"),
        ({"resource": f"{ORDERS}/other"}, "and not for"),
        ({"resource": f"{ORDERS}/ord"}, "and not for"),
        ({"resource": f"{ORDERS}/orders?a"}, "and not for"),
        ({"resource": 7}, "names no resource"),
        (None, "no metadata"),
    ],
)
def test_what_is_not_believed_gets_no_token(document: Any, says: str) -> None:
    issuer, service = Issuer(), Guarded()
    service.document = None if document is None else {**service.document, **document}
    with client(issuer, service) as orders, pytest.raises(TokenError, match=says):
        orders.get("/orders")
    assert issuer.asked == []
    assert not [line for line in service.seen if line.endswith("token")]


def test_a_document_elsewhere_is_not_fetched() -> None:
    issuer, service = Issuer(), Guarded()
    service.verifier.resource_metadata = "https://elsewhere.example/.well-known/oauth-protected-resource"
    with client(issuer, service) as orders, pytest.raises(TokenError, match="at another origin"):
        orders.get("/orders")
    assert len(service.seen) == 1


def test_requests_go_where_the_caller_said() -> None:
    issuer, service = Issuer(), Guarded()
    with client(issuer, service) as orders, pytest.raises(ValueError, match="not sent to"):
        orders.get("https://elsewhere.example/orders")
    for origin in ("http://orders.example", f"{ORDERS}/path"):
        with pytest.raises(ValueError, match="https"):
            issuer.source.discovering_auth([origin])


@pytest.mark.parametrize(
    ("header", "scope"),
    [
        ('Bearer error="invalid_token", error_description="say \\"scope=x\\"", scope=a', "a"),
        ('Basic scope="x, Bearer b", Negotiate abc==, DPoP SCOPE = "a"', "a"),
        ('Bearer scope="a", scope="b", "', "a"),
        ('scope="a"', None),
        ("Bearer", None),
        (f'Bearer scope="{"a" * 9_000}"', None),
    ],
)
def test_challenges(header: str, scope: str | None) -> None:
    assert challenge_parameter(httpx.Response(401, headers={"www-authenticate": header}), "scope") == scope


# ── Over a socket ────────────────────────────────────────────────────────────────────────────────────────────────────


class Real:
    """A service on a socket. The bodies of its refusals have no end, and it wants a nonce in each proof."""

    def __init__(self, document: bytes | None = None, wants_nonce: bool = False) -> None:
        self.document = document
        self.wants_nonce = wants_nonce
        self.server = Server(self.handle)

    @property
    def url(self) -> str:
        return self.server.url

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        shown = request.headers.get("authorization")
        if request.path.startswith("/.well-known/"):
            usual = json.dumps({"resource": self.url, "authorization_servers": [ISSUER]}).encode()
            return self.send(request, 200, self.document or usual)
        if shown is None:
            return self.refuse(request, f'Bearer resource_metadata="{self.url}/.well-known/it"')
        if self.wants_nonce and "nonce" not in jwt.decode(request.headers["dpop"], options={"verify_signature": False}):
            return self.refuse(request, "DPoP error=use_dpop_nonce")
        return self.send(request, 200, shown.encode())

    def send(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def refuse(self, request: BaseHTTPRequestHandler, challenge: str) -> None:
        request.send_response(401)
        request.send_header("www-authenticate", challenge)
        request.send_header("dpop-nonce", "nonce-1")
        request.send_header("content-length", "200000000000")
        request.end_headers()
        with contextlib.suppress(OSError):
            while True:
                request.wfile.write(b" " * 65_536)


def tokens_for(kind: str) -> Answers:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=METADATA)
        return httpx.Response(200, json={"access_token": "token-1", "token_type": kind, "expires_in": 300})

    return Answers(answer)


@pytest.mark.parametrize("bound", [False, True], ids=["bearer", "with a nonce"])
def test_a_real_service_is_understood_however_long_its_refusals_are(bound: bool) -> None:
    kind = "DPoP" if bound else "Bearer"
    dpop = DpopKey() if bound else None
    service = Real(wants_nonce=bound)

    async def call() -> str:
        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return tokens_for(kind).handle_request(request)

        source = AsyncTokenSource(ISSUER, ClientSecret("b", "s"), transport=Transport(), dpop=dpop)
        async with source, httpx.AsyncClient(auth=source.discovering_auth([service.url])) as orders:
            return (await orders.get(f"{service.url}/orders")).text

    with service.server:
        source = TokenSource(ISSUER, ClientSecret("b", "s"), transport=tokens_for(kind), dpop=dpop)
        with source, httpx.Client(auth=source.discovering_auth([service.url])) as orders:
            assert orders.get(f"{service.url}/orders").text == f"{kind} token-1"
        assert asyncio.run(call()) == f"{kind} token-1"


@pytest.mark.parametrize("document", [b"[" * 60_000, b'{"resource":' * 5_000], ids=["lists", "objects"])
def test_a_document_that_nests_deep_is_none(document: bytes) -> None:
    service = Real(document)
    with service.server:
        source = TokenSource(ISSUER, ClientSecret("b", "s"), transport=tokens_for("Bearer"))
        orders = httpx.Client(auth=source.discovering_auth([service.url]))
        with source, orders, pytest.raises(TokenError, match="no metadata"):
            orders.get(f"{service.url}/orders")
