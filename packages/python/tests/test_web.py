"""FastAPI and Django: the same requests, with the same answers."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import django
import httpx
import pytest
from certificates import Authority
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path
from fastapi import Depends, FastAPI, WebSocket
from support import AUDIENCE, ISSUER, Answers, Key, key_set

from mintmark import Claims, DpopKey, Verifier, VerifyError, certificate_thumbprint
from mintmark.fastapi import Guard
from mintmark.signatures import RequestVerifier
from mintmark.signing import RequestSigner, SignedRequests
from mintmark.web import Gate, Request

KEY = Key("a")
PUBLIC = "https://orders.example"


def verifier() -> Verifier:
    return Verifier(
        issuer=ISSUER,
        audience=AUDIENCE,
        transport=Answers(key_set(KEY)),
        resource_metadata=f"{PUBLIC}/.well-known/oauth-protected-resource",
    )


# ── One service, twice ───────────────────────────────────────────────────────────────────────────────────────────────


def fastapi_app() -> Any:
    guard = Guard(verifier(), public_url=PUBLIC, requests=RequestVerifier())
    app = FastAPI()

    @app.get("/orders")
    async def orders(claims: Claims = Depends(guard("orders:read"))) -> dict[str, str]:
        return {"client": claims.client_id}

    @app.post("/orders")
    async def add(claims: Claims = Depends(guard("orders:read", signed=True))) -> dict[str, str]:
        return {"client": claims.client_id}

    return app


if not settings.configured:
    settings.configure(
        DEBUG=False,
        ROOT_URLCONF="test_web",
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[],
        SECRET_KEY="only for tests",
        MINTMARK={},
    )
    django.setup()

from mintmark.django import gate, require_token  # noqa: E402  # It reads the settings.


@require_token("orders:read")
def read(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"client": request.claims.client_id})  # type: ignore[attr-defined]


@require_token("orders:read", signed=True)
async def write(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"client": request.claims.client_id})  # type: ignore[attr-defined]


async def orders(request: HttpRequest) -> Any:
    if request.method == "POST":
        return await write(request)
    return await asyncio.to_thread(read, request)


def health(_: HttpRequest) -> JsonResponse:
    return JsonResponse({})


urlpatterns = [path("orders", orders), path("health", health), path("healthy", health)]


def django_app() -> Any:
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler()


@pytest.fixture(params=["fastapi", "django", "django behind the middleware"])
def app(request: pytest.FixtureRequest) -> Any:
    if request.param == "fastapi":
        yield fastapi_app()
        return
    ours = {"verifier": verifier(), "public_url": PUBLIC, "requests": RequestVerifier()}
    middleware = ["mintmark.django.TokenMiddleware"] if "middleware" in request.param else []
    with override_settings(MINTMARK={**ours, "open_paths": ["/health"]}, MIDDLEWARE=middleware):
        yield django_app()


class Tls(httpx.AsyncBaseTransport):
    """Calls the application as a server would that knows the certificate of the connection."""

    def __init__(self, app: Any, certificate: str | None) -> None:
        self._app, self._certificate = app, certificate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def with_certificate(scope: Any, receive: Any, send: Any) -> None:
            chain = [] if self._certificate is None else [self._certificate]
            await self._app({**scope, "extensions": {"tls": {"client_cert_chain": chain}}}, receive, send)

        return await httpx.ASGITransport(with_certificate).handle_async_request(request)


def call(app: Any, method: str = "GET", path: str = "/orders", certificate: str | None = None, **more: Any) -> Any:
    async def once() -> httpx.Response:
        # The Host is a lie, and nothing is compared with it.
        async with httpx.AsyncClient(
            transport=Tls(app, certificate), base_url="http://attacker.example", auth=more.pop("auth", None)
        ) as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())


def token(**claims: Any) -> str:
    return KEY.token(time.time(), **claims)


def bearer(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(**claims)}"}


def error_of(answer: httpx.Response) -> str:
    body = answer.json()
    return str(body.get("detail", body)["error"])


def test_a_token_lets_in(app: Any) -> None:
    answer = call(app, headers=bearer())
    assert (answer.status_code, answer.json()) == (200, {"client": "billing"})


def test_no_token_gets_the_way_to_one(app: Any) -> None:
    answer = call(app)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert f'resource_metadata="{PUBLIC}/.well-known/oauth-protected-resource"' in answer.headers["www-authenticate"]
    assert "error=" not in answer.headers["www-authenticate"]
    assert answer.headers["cache-control"] == "no-store"
    # In the address it is no token: it would be in every log.
    assert call(app, path=f"/orders?access_token={token()}").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"authorization": "Bearer x"}, 401, "invalid_token"),
        (bearer(aud="https://other.example"), 401, "invalid_token"),
        (bearer(scope="orders:readwrite"), 403, "insufficient_scope"),
        ([*bearer().items(), *bearer().items()], 400, "invalid_request"),
        ({"authorization": f"Bearer  {token()}"}, 400, "invalid_request"),
        ({"authorization": f"DPoP {token()}"}, 401, "invalid_token"),
    ],
    ids=["malformed", "audience", "scope", "twice", "two spaces", "DPoP with a token that is not bound"],
)
def test_who_is_refused(app: Any, headers: Any, status: int, error: str) -> None:
    answer = call(app, headers=headers)
    assert (answer.status_code, error_of(answer)) == (status, error)
    assert f'error="{error}"' in answer.headers["www-authenticate"]


def test_a_certificate_comes_with_its_token(app: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours, other = (authority.issue(name)[0].read_text() for name in ("billing", "other"))
    headers = bearer(cnf={"x5t#S256": certificate_thumbprint(ours)})
    assert call(app, headers=headers, certificate=ours).status_code == 200
    for certificate in (None, other):
        answer = call(app, headers=headers, certificate=certificate)
        assert (answer.status_code, error_of(answer)) == (401, "invalid_token")
    # A header is no certificate: everybody can send one.
    for name in ("client-cert", "x-forwarded-client-cert", "ssl-client-cert", "x-ssl-client-cert"):
        value = ours.replace("\n", "")
        assert call(app, headers={**headers, name: value}).status_code == 401


def test_a_proof_is_for_our_address_and_counts_once(app: Any) -> None:
    key = DpopKey()
    bound = token(cnf={"jkt": key.thumbprint})

    def shown(url: str) -> dict[str, str]:
        return {"authorization": f"DPoP {bound}", "dpop": key.proof("GET", url, bound)}

    good = shown(f"{PUBLIC}/orders")
    assert call(app, headers=good, path="/orders?page=1").status_code == 200
    assert error_of(call(app, headers=good)) == "invalid_dpop_proof"
    # The address comes from the settings, not from the Host header, which the caller writes.
    assert error_of(call(app, headers=shown("http://attacker.example/orders"))) == "invalid_dpop_proof"
    assert call(app, headers={"authorization": f"Bearer {bound}"}).status_code == 401
    assert call(app, headers={"authorization": f"DPoP {bound}"}).status_code == 401
    answer = call(app, headers=[*shown(f"{PUBLIC}/orders").items(), ("dpop", "x")])
    assert error_of(answer) == "invalid_dpop_proof"


class Address(httpx.Auth):
    """Signs for the address that callers know, as the proxy before the service has it."""

    requires_request_body = True

    def __init__(self, signer: RequestSigner) -> None:
        self._signer = signer

    def auth_flow(self, request: httpx.Request) -> Any:
        url = PUBLIC + request.url.raw_path.decode()
        headers = self._signer.headers(request.method, url, request.headers.multi_items(), request.content)
        request.headers.update(headers)
        yield request


def test_a_signed_request_is_by_the_key_of_the_certificate(app: Any, tmp_path: Path) -> None:
    certificate, key_file = Authority(tmp_path).issue("billing")
    private: Any = serialization.load_pem_private_key(key_file.read_bytes(), None)
    pem = certificate.read_text()
    headers = bearer(cnf={"x5t#S256": certificate_thumbprint(pem)})

    def post(auth: httpx.Auth | None, content: bytes = b'{"amount":7}', **more: Any) -> httpx.Response:
        return call(app, "POST", "/orders?page=1", pem, headers={**headers, **more}, content=content, auth=auth)

    assert post(Address(RequestSigner(private))).status_code == 200
    assert post(None).status_code == 401
    assert post(Address(RequestSigner(DpopKey().private_key))).status_code == 401
    # For another address.
    assert post(SignedRequests(RequestSigner(private))).status_code == 401
    # A body that was changed on its way.
    signed = RequestSigner(private).headers("POST", f"{PUBLIC}/orders?page=1", list(headers.items()), b'{"amount":7}')
    assert post(None, b'{"amount":7000}', **signed).status_code == 401
    assert post(None, b'{"amount":7}', **signed).status_code == 200
    assert post(None, b'{"amount":7}', **signed).status_code == 401


def test_a_certificate_with_a_key_that_signs_no_requests_is_refused(app: Any, tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("billing", curve=ec.SECP384R1())
    pem = certificate.read_text()
    headers = bearer(cnf={"x5t#S256": certificate_thumbprint(pem)})
    assert call(app, headers=headers, certificate=pem).status_code == 200
    auth = Address(RequestSigner(DpopKey().private_key))
    assert call(app, "POST", "/orders", pem, headers=headers, content=b"{}", auth=auth).status_code == 401


def test_a_signed_request_is_by_the_key_of_the_proof(app: Any) -> None:
    key = DpopKey()
    bound = token(cnf={"jkt": key.thumbprint})

    def post(signer: RequestSigner) -> httpx.Response:
        proof = key.proof("POST", f"{PUBLIC}/orders", bound)
        headers = {"authorization": f"DPoP {bound}", "dpop": proof}
        return call(app, "POST", headers=headers, content=b"{}", auth=Address(signer))

    assert post(RequestSigner(key.private_key)).status_code == 200
    assert post(RequestSigner(DpopKey().private_key)).status_code == 401


def test_an_absent_service_is_not_the_callers_fault() -> None:
    away = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(OSError("away")))
    guard = Guard(away)
    service = FastAPI()

    @service.get("/orders")
    async def _orders(_: Claims = Depends(guard())) -> None: ...

    answer = call(service, headers=bearer())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("audience", "public_url", "url"),
    [
        ("https://orders.example/api", None, "https://orders.example/orders?page=1"),
        ("urn:orders", "https://orders.example/api/", "https://orders.example/api/orders?page=1"),
        (AUDIENCE, "http://localhost:9001", "http://localhost:9001/orders?page=1"),
    ],
)
def test_its_address_comes_from_its_settings(audience: str, public_url: str | None, url: str) -> None:
    guard = Verifier(issuer=ISSUER, audience=audience, transport=Answers(key_set(KEY)))
    key = DpopKey()
    bound = token(aud=audience, cnf={"jkt": key.thumbprint})
    headers = [("authorization", f"DPoP {bound}"), ("dpop", key.proof("GET", url, bound))]
    claims = Gate(guard, public_url).authenticate(Request("GET", "/orders?page=1", headers, None), ())
    assert claims.subject == "billing"


def test_a_gate_that_cannot_check_what_it_should_says_so() -> None:
    named = Verifier(issuer=ISSUER, audience="urn:orders", transport=Answers(key_set(KEY)))
    with pytest.raises(ValueError, match="public_url"):
        Gate(named, "orders.example")
    request = Request("GET", "/", [("authorization", f"DPoP {token(aud='urn:orders')}")], None)
    with pytest.raises(VerifyError) as refused:
        Gate(named).authenticate(request, ())
    assert (refused.value.code, refused.value.status) == ("token_missing", 401)
    claims = verifier().verify(token())
    with pytest.raises(ValueError, match="RequestVerifier"):
        Gate(verifier()).check_signature(request, claims, b"")


# ── Django alone ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_middleware_opens_whole_paths_alone() -> None:
    ours = {"verifier": verifier(), "open_paths": ["/health"]}
    with override_settings(MINTMARK=ours, MIDDLEWARE=["mintmark.django.TokenMiddleware"]):
        app = django_app()
        assert call(app, path="/health").status_code == 200
        assert call(app, path="/healthy").status_code == 401
        assert call(app, path="/health/").status_code == 401
        assert call(app, path="/absent").status_code == 401


def test_wsgi_is_guarded_as_well(tmp_path: Path) -> None:
    from django.core.handlers.wsgi import WSGIHandler

    pem = Authority(tmp_path).issue("billing")[0].read_text()
    answers: list[str] = []

    def get(environment: dict[str, Any]) -> str:
        basic = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/orders",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.input": io.BytesIO(),
            "wsgi.url_scheme": "http",
        }
        body = b"".join(WSGIHandler()({**basic, **environment}, lambda status, _headers: answers.append(status)))
        return f"{answers[-1]} {json.loads(body).get('error', '')}"

    key = DpopKey()
    bound, proved = token(cnf={"x5t#S256": certificate_thumbprint(pem)}), token(cnf={"jkt": key.thumbprint})
    proof = key.proof("GET", f"{PUBLIC}/orders", proved)
    for middleware in ([], ["mintmark.django.TokenMiddleware"]):
        ours = {"verifier": verifier(), "public_url": PUBLIC}
        with override_settings(MINTMARK=ours, MIDDLEWARE=middleware):
            assert get({"HTTP_AUTHORIZATION": f"Bearer {token()}"}).startswith("200")
            assert get({}) == "401 Unauthorized token_missing"
            assert get({"HTTP_AUTHORIZATION": f"Bearer {bound}", "SSL_CLIENT_CERT": pem}).startswith("200")
            assert get({"HTTP_AUTHORIZATION": f"Bearer {bound}", "HTTP_SSL_CLIENT_CERT": pem}).startswith("401")
            shown = {"HTTP_AUTHORIZATION": f"DPoP {proved}", "HTTP_DPOP": proof, "QUERY_STRING": "page=1"}
            assert get(shown).startswith("200")
            assert get(shown) == "401 Unauthorized invalid_dpop_proof"
            twice = f"Bearer {token()},Bearer {token()}"
            assert get({"HTTP_AUTHORIZATION": twice}) == "400 Bad Request invalid_request"


def test_a_mistake_in_the_settings_is_found_at_the_start() -> None:
    from django.core.exceptions import ImproperlyConfigured

    for wrong in ({}, {"issuer": ISSUER}, {"issuer": ISSUER, "audience": AUDIENCE, "oudience": "x"}):
        with override_settings(MINTMARK=wrong, MIDDLEWARE=["mintmark.django.TokenMiddleware"]):
            with pytest.raises(ImproperlyConfigured, match="MINTMARK"):
                django_app()
            with pytest.raises(ImproperlyConfigured):
                gate()


def test_a_websocket_is_let_in_like_a_request() -> None:
    guard = Guard(verifier(), public_url=PUBLIC)
    app = FastAPI()

    @app.websocket("/orders")
    async def orders(socket: WebSocket, claims: Claims = Depends(guard("orders:read"))) -> None:
        await socket.accept()
        await socket.send_text(claims.client_id)
        await socket.close()

    def connect(headers: dict[str, str]) -> list[Any]:
        sent: list[Any] = []
        scope = {
            "type": "websocket",
            "path": "/orders",
            "raw_path": b"/orders",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "extensions": {"websocket.http.response": {}},
        }

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        return [message.get("status", message.get("text")) for message in sent]

    assert connect(bearer()) == [None, "billing", None]
    assert connect(bound_to_url(f"{PUBLIC}/orders")) == [None, "billing", None]
    assert connect({})[0] == 401
    assert connect(bearer(scope="other"))[0] == 403


# ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Plain(httpx.AsyncBaseTransport):
    """Calls the application as a server would that has decoded the path, and keeps nothing of how it was sent."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async def decoded(scope: Any, receive: Any, send: Any) -> None:
            await self._app({name: value for name, value in scope.items() if name != "raw_path"}, receive, send)

        return await httpx.ASGITransport(decoded).handle_async_request(request)


ODD = "/orders%20of/caf%C3%A9:a@b,c"


def bound_to_url(url: str) -> dict[str, str]:
    key = DpopKey()
    bound = token(cnf={"jkt": key.thumbprint})
    return {"authorization": f"DPoP {bound}", "dpop": key.proof("GET", url, bound)}


def test_a_path_that_the_server_has_decoded_is_the_one_that_was_sent() -> None:
    guard = Guard(verifier(), public_url=PUBLIC)
    app = FastAPI()

    @app.get("/{rest:path}")
    async def anything(claims: Claims = Depends(guard())) -> dict[str, str]:
        return {"client": claims.client_id}

    async def get(app: Any) -> int:
        async with httpx.AsyncClient(transport=Plain(app)) as client:
            return (await client.get(PUBLIC + ODD, headers=bound_to_url(PUBLIC + ODD))).status_code

    assert asyncio.run(get(app)) == 200
    ours = {"verifier": verifier(), "public_url": PUBLIC}
    with override_settings(MINTMARK=ours, MIDDLEWARE=["mintmark.django.TokenMiddleware"]):
        # It is let in, and there is nothing.
        assert asyncio.run(get(django_app())) == 404


def test_a_path_that_wsgi_has_decoded_is_the_one_that_was_sent() -> None:
    from django.core.handlers.wsgi import WSGIHandler

    answers: list[str] = []
    shown = bound_to_url(PUBLIC + ODD)
    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": unquote(ODD).encode().decode("latin-1"),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_AUTHORIZATION": shown["authorization"],
        "HTTP_DPOP": shown["dpop"],
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    ours = {"verifier": verifier(), "public_url": PUBLIC}
    with override_settings(MINTMARK=ours, MIDDLEWARE=["mintmark.django.TokenMiddleware"]):
        WSGIHandler()(environment, lambda status, _headers: answers.append(status))
    assert answers == ["404 Not Found"]


@pytest.mark.parametrize("target", [".attacker.example/orders", ":8443/orders", "http://orders.example/orders", "*"])
def test_a_target_that_is_no_path_makes_no_other_address(target: str) -> None:
    headers = list(bound_to_url(PUBLIC + target).items())
    with pytest.raises(VerifyError, match="request_malformed"):
        Gate(verifier(), PUBLIC).authenticate(Request("GET", target, headers, None), ())
