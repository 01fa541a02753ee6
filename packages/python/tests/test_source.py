"""Token sources against a service that is made up: kept, renewed, tried again, and by whom."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support import ISSUER, Answers, Clock, Key, Server, key_set

from mintmark import (
    AssertionFile,
    AsyncTokenSource,
    ClientCertificate,
    ClientSecret,
    DpopKey,
    PrivateKey,
    TokenError,
    TokenSource,
    Verifier,
    read_credential,
)
from mintmark.grant import retry_after

ORDERS = "https://orders.example"


class Service:
    """Answers like the token endpoint, with tokens that have numbers. `answers` come first, one for each request."""

    def __init__(self, *answers: Any, lifetime: int = 300) -> None:
        self.given = list(answers)
        self.lifetime = lifetime
        self.issued = 0
        self.transport = Answers(self.answer)
        self.metadata: dict[str, Any] = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"}

    def answer(self, request: httpx.Request) -> Any:
        if request.method == "GET":
            return httpx.Response(200, json=self.metadata)
        if self.given:
            return self.given.pop(0)
        self.issued += 1
        body = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": self.lifetime}
        return httpx.Response(200, json=body)

    @property
    def forms(self) -> list[dict[str, str]]:
        return [
            {name: value for name, (value,) in parse_qs(request.content.decode()).items()}
            for request in self.transport.requests
            if request.method == "POST"
        ]


def source(service: Service, clock: Clock | None = None, credential: Any = None, **settings: Any) -> TokenSource:
    credential = credential or ClientSecret("billing", "secret")
    elapsed = {} if clock is None else {"elapsed": clock.elapsed}
    return TokenSource(ISSUER, credential, transport=service.transport, **elapsed, **settings)


def settle() -> None:
    """Wait for what is done beside the caller, so that nothing depends on time."""
    for thread in threading.enumerate():
        if thread.name == "mintmark-token":
            thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts are noted, and not made."""
    waited: list[float] = []
    monkeypatch.setattr("mintmark.source.time.sleep", waited.append)
    return waited


def test_a_token_is_kept_for_each_audience_and_its_scopes() -> None:
    service = Service()
    tokens = source(service)
    assert tokens.token(ORDERS, "orders:read orders:write") == "token-1"
    assert tokens.token(ORDERS, ["orders:write", "orders:read", "orders:read"]) == "token-1"
    assert tokens.token(ORDERS) == "token-2"
    assert tokens.token("rabbitmq") == "token-3"
    assert service.forms == [
        {"grant_type": "client_credentials", "resource": ORDERS, "scope": "orders:read orders:write"},
        {"grant_type": "client_credentials", "resource": ORDERS},
        {"grant_type": "client_credentials", "audience": "rabbitmq"},
    ]


def test_it_is_renewed_early_beside_the_caller() -> None:
    clock, service = Clock(), Service()
    tokens = source(service, clock)
    assert tokens.token(ORDERS) == "token-1"
    clock.pass_seconds(300 * 0.59)
    assert tokens.token(ORDERS) == "token-1"
    settle()
    assert service.issued == 1
    clock.pass_seconds(300 * 0.22)
    assert tokens.token(ORDERS) == "token-1"
    settle()
    assert tokens.token(ORDERS) == "token-2"


def test_renewals_of_many_do_not_come_together() -> None:
    moments = set()
    for _ in range(20):
        tokens = source(Service(), Clock())
        tokens.token(ORDERS)
        (entry,) = tokens._entries.values()
        moments.add(entry.renew_at)
        assert 0.6 * 300 <= entry.renew_at - 1_000 <= 0.8 * 300
    assert len(moments) > 10


def test_the_old_token_is_used_while_it_lives_if_the_service_is_away() -> None:
    clock, service = Clock(), Service()
    tokens = source(service, clock)
    assert tokens.token(ORDERS) == "token-1"
    service.given = [httpx.ConnectError("away")] * 1_000
    for _ in range(4):
        clock.pass_seconds(60)
        assert tokens.token(ORDERS) == "token-1"
        settle()
    clock.pass_seconds(59)
    with pytest.raises(TokenError, match="unavailable") as error:
        tokens.token(ORDERS)
    assert error.value.is_passing
    service.given = []
    clock.pass_seconds(2)
    assert tokens.token(ORDERS) == "token-2"


def test_a_failure_is_the_answer_for_all_until_its_pause_is_over() -> None:
    clock = Clock()
    service = Service(httpx.Response(400, json={"error": "invalid_scope", "error_description": "No such scope."}))
    tokens = source(service, clock)
    for _ in range(5):
        with pytest.raises(TokenError, match=r"invalid_scope: No such scope\."):
            tokens.token(ORDERS)
    assert len(service.forms) == 1
    clock.pass_seconds(1)
    assert tokens.token(ORDERS) == "token-1"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_it_is_tried_again_as_retry_after_says(status: int, no_waiting: list[float]) -> None:
    busy = httpx.Response(status, headers={"retry-after": "2"})
    service = Service(busy, busy)
    assert source(service).token(ORDERS) == "token-1"
    assert len(service.forms) == 3
    assert all(2 <= waited <= 2.5 for waited in no_waiting)


def test_attempts_and_waits_are_bounded(no_waiting: list[float]) -> None:
    service = Service(*[httpx.ReadTimeout("slow")] * 9)
    with pytest.raises(TokenError, match="unavailable: ReadTimeout"):
        source(service).token(ORDERS)
    assert len(service.forms) == 3
    assert len(no_waiting) == 2
    # An hour is not waited for: the caller hears of it, and nobody asks before.
    clock = Clock()
    service = Service(httpx.Response(503, headers={"retry-after": "3600", "x-request-id": "id-1"}))
    tokens = source(service, clock)
    for _ in range(3):
        with pytest.raises(TokenError, match="x-request-id id-1") as error:
            tokens.token(ORDERS)
        assert error.value.retry_after == 3_600
        clock.pass_seconds(1_000)
    assert len(service.forms) == 1
    assert len(no_waiting) == 2


def test_refusals_are_not_tried_again() -> None:
    service = Service(httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(TokenError, match="invalid_client"):
        source(service).token(ORDERS)
    assert len(service.forms) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"access_token": "", "token_type": "Bearer"}),
        httpx.Response(200, json={"access_token": "x"}),
        httpx.Response(200, json={"access_token": "x", "token_type": "mac"}),
        httpx.Response(302, headers={"location": "https://attacker.example"}),
        httpx.Response(200, json={"access_token": "x\r\ny: z", "token_type": "Bearer"}),
        httpx.Response(200, json={"access_token": "x", "token_type": "Bearer", "more": "y" * 70_000}),
    ],
)
def test_what_is_no_answer_gives_no_token(answer: httpx.Response) -> None:
    with pytest.raises(TokenError, match="answer_invalid"):
        source(Service(answer)).token(ORDERS)


def test_no_more_is_read_of_an_answer_than_an_answer_can_have() -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 16_384
            yield b" " * 16_384

    class Endless(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=parts())

    tokens = TokenSource(ISSUER, ClientSecret("billing", "secret"), transport=Endless())
    with pytest.raises(TokenError, match="answer_invalid"):
        tokens.token(ORDERS)
    assert sent < 1_000_000


def test_an_answer_is_not_unpacked() -> None:
    packed = gzip.compress(b'{"access_token": "x", "token_type": "Bearer"}')

    class Packing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            assert request.headers["accept-encoding"] == "identity"
            return httpx.Response(200, headers={"content-encoding": "gzip"}, content=packed)

    with pytest.raises(TokenError, match="the answer is compressed"):
        TokenSource(ISSUER, ClientSecret("billing", "secret"), transport=Packing()).token(ORDERS)


def test_what_a_service_says_cannot_write_a_second_line_into_a_log() -> None:
    refusal = {"error": "x\ny", "error_description": "\x1b[31m" + "z" * 5_000}
    with pytest.raises(TokenError) as raised:
        source(Service(httpx.Response(400, json=refusal, headers={"x-request-id": "r"}))).token(ORDERS)
    assert str(raised.value).startswith("x?y: ?[31mz")
    assert len(str(raised.value)) < 400


def test_a_lifetime_is_a_day_at_most() -> None:
    clock = Clock()
    text = '{"access_token": "token-0", "token_type": "Bearer", "expires_in": Infinity}'
    tokens = source(Service(httpx.Response(200, text=text)), clock)
    assert tokens.token(ORDERS) == "token-0"
    clock.pass_seconds(86_401)
    assert tokens.token(ORDERS) == "token-1"


def test_hundred_threads_cost_one_request() -> None:
    service = Service()
    arrived, leave = threading.Event(), threading.Event()
    answer = service.answer

    def slowly(request: httpx.Request) -> Any:
        if request.method == "POST":
            arrived.set()
            leave.wait(30)
        return answer(request)

    service.transport.answer = slowly
    tokens = source(service)
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(tokens.token, ORDERS) for _ in range(100)]
        arrived.wait(30)
        leave.set()
        assert {each.result() for each in waiting} == {"token-1"}
    assert len(service.forms) == 1


def test_async_callers_share_one_request_and_cancel_alone() -> None:
    service = Service()
    go_on = asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await go_on.wait()
            return service.transport.handle_request(request)

    async def scenario() -> None:
        async with AsyncTokenSource(ISSUER, ClientSecret("billing", "secret"), transport=Slow()) as tokens:
            first, *others = [asyncio.create_task(tokens.token(ORDERS)) for _ in range(50)]
            await asyncio.sleep(0)
            first.cancel()
            go_on.set()
            assert set(await asyncio.gather(*others)) == {"token-1"}
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await tokens.token(ORDERS) == "token-1"
        assert len(service.forms) == 1

    asyncio.run(scenario())


def test_async_tokens_are_renewed_and_fail_like_the_others() -> None:
    clock, service = Clock(), Service()

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return service.transport.handle_request(request)

    async def settled(tokens: AsyncTokenSource) -> None:
        for entry in tokens._entries.values():
            if entry.in_flight is not None:
                await entry.in_flight

    async def scenario() -> None:
        secret = ClientSecret("billing", "secret")
        async with AsyncTokenSource(ISSUER, secret, transport=Transport(), elapsed=clock.elapsed) as tokens:
            assert await tokens.token(ORDERS) == "token-1"
            clock.pass_seconds(300 * 0.59)
            assert await tokens.token(ORDERS) == "token-1"
            await settled(tokens)
            assert service.issued == 1
            # Renewed beside the caller, who gets the old one at once.
            clock.pass_seconds(300 * 0.22)
            assert await tokens.token(ORDERS) == "token-1"
            await settled(tokens)
            assert await tokens.token(ORDERS) == "token-2"
            # Away: a refusal that all hear, and one request in its pause.
            service.given = [httpx.Response(400, json={"error": "invalid_scope"})]
            clock.pass_seconds(400)
            for _ in range(3):
                with pytest.raises(TokenError, match="invalid_scope"):
                    await tokens.token(ORDERS)
            clock.pass_seconds(2)
            assert await tokens.token(ORDERS) == "token-3"
        assert len(service.forms) == 4

    asyncio.run(scenario())


def test_after_a_fork_the_child_makes_its_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, service = Clock(), Service()
    tokens = source(service, clock)
    tokens.token(ORDERS)
    before = tokens._client
    clock.pass_seconds(400)
    tokens.token(ORDERS)
    assert tokens._client is before
    process = os.getpid() + 1
    monkeypatch.setattr("mintmark.source.os.getpid", lambda: process)
    clock.pass_seconds(400)
    tokens.token(ORDERS)
    assert tokens._client is not before
    tokens.close()
    assert tokens._client is None


@pytest.mark.parametrize("seconds", [None, 0, -1, True, "300", [300]])
def test_a_lifetime_that_is_none_counts_as_a_minute(seconds: Any) -> None:
    clock = Clock()
    body = {"access_token": "token-0", "token_type": "bearer", "expires_in": seconds}
    service = Service(httpx.Response(200, json=body))
    tokens = source(service, clock)
    assert tokens.token(ORDERS) == "token-0"
    clock.pass_seconds(57)
    assert tokens.token(ORDERS) == "token-0"
    settle()
    clock.pass_seconds(2)
    assert tokens.token(ORDERS) == "token-1"


# ── Credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_secret_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    clock, service = Clock(), Service()
    file = tmp_path / "secret"
    file.write_text("first: a+b\n")
    tokens = source(service, clock, ClientSecret("svc:billing", secret_file=file))
    tokens.token(ORDERS)
    file.write_text("second\n")
    clock.pass_seconds(400)
    tokens.token(ORDERS)
    sent = [b64decode(r.headers["authorization"][6:]).decode() for r in service.transport.requests if r.content]
    # Form-encoded: the id has a colon.
    assert sent == ["svc%3Abilling:first%3A+a%2Bb", "svc%3Abilling:second"]


def test_a_file_that_cannot_be_read_is_a_failure_like_another(tmp_path: Path) -> None:
    tokens = source(Service(), None, ClientSecret("billing", secret_file=tmp_path / "absent"))
    with pytest.raises(TokenError, match="unavailable: FileNotFoundError"):
        tokens.token(ORDERS)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (rsa.generate_private_key(65_537, 2_048), "PS256"),
    ],
    ids=["ES256", "EdDSA", "PS256"],
)
def test_a_private_key_signs_one_statement_for_each_attempt(key: Any, algorithm: str) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    service = Service(httpx.Response(503))
    source(service, None, PrivateKey("billing", pem, kid="2027-01")).token(ORDERS)
    statements = [form["client_assertion"] for form in service.forms]
    assert {form["client_assertion_type"] for form in service.forms} == {
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    }
    claims = [jwt.decode(each, key.public_key(), algorithms=[algorithm], audience=ISSUER) for each in statements]
    for each in claims:
        # One text, not a list, and not the token endpoint (RFC 10070).
        assert (each["aud"], each["iss"], each["sub"], each["exp"] - each["iat"]) == (ISSUER, "billing", "billing", 60)
    assert len({each["jti"] for each in claims}) == 2
    header = jwt.get_unverified_header(statements[0])
    assert (header["typ"], header["kid"], header["alg"]) == ("client-authentication+jwt", "2027-01", algorithm)


def test_a_certificate_sends_the_id_alone_to_the_endpoint_for_certificates() -> None:
    service = Service()
    service.metadata["mtls_endpoint_aliases"] = {"token_endpoint": "https://mtls.mint.example/token"}
    source(service, None, ClientCertificate("billing")).token(ORDERS)
    assert service.forms == [{"grant_type": "client_credentials", "resource": ORDERS, "client_id": "billing"}]
    assert str(service.transport.requests[-1].url) == "https://mtls.mint.example/token"


def test_a_federated_statement_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a.b.c\n")
    service = Service()
    source(service, None, AssertionFile(file)).token(ORDERS)
    assert service.forms[0]["client_assertion"] == "a.b.c"


def test_a_credential_is_found_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text('{"resources": [], "clients": [{"client_id": "a", "client_secret": "1"}, {"client_id": "b"}]}')
    assert read_credential(file, "a") == ClientSecret("a", "1")
    for nobody in (None, "c"):
        with pytest.raises(ValueError, match=r"secrets\.json: [02] clients"):
            read_credential(file, nobody)
    file.write_text('{"client_id": "a", "private_key_file": "a.key", "kid": "1"}')
    assert read_credential(file) == PrivateKey("a", key_file=tmp_path / "a.key", kid="1")
    file.write_text('{"client_id": "a", "certificate": true}')
    assert read_credential(file) == ClientCertificate("a")


def test_the_metadata_is_of_this_issuer() -> None:
    service = Service()
    service.metadata["issuer"] = "https://attacker.example"
    with pytest.raises(TokenError, match="not the metadata"):
        source(service).token(ORDERS)
    service.metadata = {"issuer": ISSUER, "token_endpoint": 7}
    with pytest.raises(TokenError, match="names no token_endpoint"):
        source(service).token(ORDERS)
    service.metadata = {"issuer": ISSUER, "token_endpoint": "http://mint.example/token"}
    with pytest.raises(TokenError, match="https is needed"):
        source(service, Clock()).token(ORDERS)
    assert service.issued == 0


def test_the_token_endpoint_is_asked_for_once_an_hour_and_known_while_the_metadata_is_away() -> None:
    clock, service = Clock(), Service()
    asked: list[str] = []

    def answer(request: httpx.Request) -> Any:
        asked.append(request.url.path)
        return service.answer(request)

    service.transport.answer = answer
    tokens = source(service, clock)
    for _ in range(11):
        tokens.token(ORDERS)
        clock.pass_seconds(340)
    assert asked.count("/.well-known/oauth-authorization-server") == 1
    service.metadata["token_endpoint"] = f"{ISSUER}/other"
    tokens.token(ORDERS)
    assert asked[-2:] == ["/.well-known/oauth-authorization-server", "/other"]
    service.metadata = {"issuer": "https://stranger.example"}
    clock.pass_seconds(3_600)
    tokens.token(ORDERS)
    clock.pass_seconds(30)
    tokens.token("urn:other")
    assert asked[-3:] == ["/.well-known/oauth-authorization-server", "/other", "/other"]


def test_secrets_and_tokens_are_not_sent_in_clear() -> None:
    with pytest.raises(ValueError, match="https is needed"):
        TokenSource("http://mint.example", ClientSecret("billing", "secret"))
    TokenSource("http://127.0.0.1:8080", ClientSecret("billing", "secret"))
    TokenSource("http://mint.example", ClientSecret("billing", "secret"), allow_insecure_http=True)
    orders = Answers(httpx.Response(200))
    with (
        httpx.Client(transport=orders, auth=source(Service()).auth(ORDERS)) as client,
        pytest.raises(ValueError, match="https is needed"),
    ):
        client.get("http://orders.example/orders")
    assert orders.requests == []


def test_no_secret_is_shown() -> None:
    for credential in (ClientSecret("billing", "hidden"), PrivateKey("billing", "hidden")):
        assert "hidden" not in repr(credential)
    with pytest.raises(ValueError, match="give secret or secret_file"):
        ClientSecret("billing")


# ── With httpx ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_httpx_attaches_the_token_and_replaces_one_that_is_refused() -> None:
    clock, service = Clock(), Service()
    tokens = source(service, clock)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] == "Bearer token-1" and clock.elapsed() > 1_005:
            return httpx.Response(401, headers={"www-authenticate": 'Bearer error="invalid_token"'})
        return httpx.Response(200, text=request.headers["authorization"])

    orders = Answers(answer)
    with httpx.Client(transport=orders, auth=tokens.auth(ORDERS, "orders:read")) as client:
        assert client.post(f"{ORDERS}/orders", json={}).text == "Bearer token-1"
        # A young token that is refused is not replaced, or two services would ask for tokens in a circle.
        clock.pass_seconds(6)
        assert client.post(f"{ORDERS}/orders", json={}).status_code == 401
        clock.pass_seconds(6)
        assert client.post(f"{ORDERS}/orders", json={}).text == "Bearer token-2"
        # A body that was a stream is gone.
        clock.pass_seconds(20)
    assert service.issued == 2


def test_of_two_that_are_refused_with_one_token_both_get_the_next_one() -> None:
    clock, service = Clock(), Service()
    tokens = source(service, clock)
    assert tokens.token(ORDERS) == "token-1"
    clock.pass_seconds(10)
    assert tokens.forget("token-1")
    assert tokens.token(ORDERS) == "token-2"
    # The second one hears of its refusal only now.
    assert tokens.forget("token-1")
    assert tokens.token(ORDERS) == "token-2"
    assert not tokens.forget("token-2")


def test_a_refusal_of_another_kind_is_the_callers() -> None:
    clock, service = Clock(), Service()
    orders = Answers(httpx.Response(403, headers={"www-authenticate": 'Bearer error="insufficient_scope"'}))
    with httpx.Client(transport=orders, auth=source(service, clock).auth(ORDERS)) as client:
        clock.pass_seconds(30)
        assert client.get(f"{ORDERS}/orders").status_code == 403
    assert len(orders.requests) == 1


def test_sync_and_async_are_not_mixed_up() -> None:
    async def wrong() -> None:
        async with httpx.AsyncClient(auth=source(Service()).auth(ORDERS)) as client:
            await client.get(f"{ORDERS}/orders")

    with pytest.raises(TypeError, match="AsyncTokenSource"):
        asyncio.run(wrong())
    other = AsyncTokenSource(ISSUER, ClientSecret("billing", "secret"))
    with httpx.Client(auth=other.auth(ORDERS)) as client, pytest.raises(TypeError, match="TokenSource"):
        client.get(f"{ORDERS}/orders")


def test_a_key_bound_token_comes_with_a_proof_and_with_the_nonce_that_is_asked_for() -> None:
    key = DpopKey()
    service = Service(
        httpx.Response(400, json={"error": "use_dpop_nonce"}, headers={"dpop-nonce": "n1"}),
        httpx.Response(200, json={"access_token": "token-1", "token_type": "DPoP", "expires_in": 300}),
    )
    asked = iter([httpx.Response(401, headers={"www-authenticate": 'DPoP error="use_dpop_nonce"', "dpop-nonce": "n2"})])
    # httpx sends one object again, with other headers: they are noted as they come.
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.copy())
        return next(asked, httpx.Response(200))

    with httpx.Client(transport=Answers(answer), auth=source(service, dpop=key).auth(ORDERS)) as client:
        assert client.get(f"{ORDERS}/orders?page=1").status_code == 200
    proofs = [headers["dpop"] for headers in [*(each.headers for each in service.transport.requests[1:]), *sent]]
    read = [jwt.decode(each, key.private_key.public_key(), algorithms=["ES256"]) for each in proofs]
    assert [each.get("nonce") for each in read] == [None, "n1", None, "n2"]
    assert [each["htu"] for each in read] == [f"{ISSUER}/token"] * 2 + [f"{ORDERS}/orders"] * 2
    assert [("ath" in each) for each in read] == [False, False, True, True]
    assert {headers["authorization"] for headers in sent} == {"DPoP token-1"}


# ── Bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "999999999999"}, 3_600),
        ({"retry-after": "9" * 5_000}, 3_600),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT", "date": "Fri, 15 Jan 2027 08:00:00 GMT"}, 60),
        ({"retry-after": "Fri, 15 Jan 2099 08:01:00 GMT", "date": "Fri, 15 Jan 2027 08:00:00 GMT"}, 3_600),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT", "date": "Fri, 15 Jan 2027 08:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, None),
        ({"retry-after": "soon", "date": "Fri, 15 Jan 2027 08:00:00 GMT"}, None),
        ({"retry-after": "-5", "date": "x"}, None),
    ],
)
def test_retry_after_has_two_forms_and_a_bound(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Response(503, headers=headers)) == seconds


def test_retry_after_counts_for_all_tokens_of_the_source() -> None:
    clock, service = Clock(), Service(httpx.Response(503, headers={"retry-after": "60"}))
    tokens = source(service, clock)
    for audience in (ORDERS, "https://billing.example", "urn:c"):
        with pytest.raises(TokenError, match="unavailable") as raised:
            tokens.token(audience)
        assert raised.value.retry_after == 60
    assert len(service.forms) == 1
    clock.pass_seconds(60)
    assert tokens.token("urn:c") == "token-1"


def test_an_answer_that_comes_byte_by_byte_is_given_up() -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b" "

    class Slow(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=parts())

    # Each byte comes in time for httpx, and the first one is late for the answer.
    tokens = TokenSource(ISSUER, ClientSecret("billing", "secret"), transport=Slow(), timeout_seconds=1e-9)
    with pytest.raises(TokenError, match="unavailable: ReadTimeout: the answer takes too long"):
        tokens.token(ORDERS)
    assert sent == 3


def test_a_secret_is_more_than_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="secret is empty"):
        ClientSecret("billing", "")
    file, service = tmp_path / "secret", Service()
    tokens = source(service, None, ClientSecret("billing", secret_file=file))
    # Whoever replaces it has begun.
    file.write_text("")
    with pytest.raises(TokenError, match="the file is empty"):
        tokens.token(ORDERS)
    assert service.forms == []
    file.write_text("\ufeffsecret\r\n", encoding="utf-8")
    _, headers = ClientSecret("billing", secret_file=file).prove(ISSUER)
    assert b64decode(headers["Authorization"][6:]) == b"billing:secret"


def test_a_source_goes_from_loop_to_loop() -> None:
    service = Service()
    clock = Clock()

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return service.transport.handle_request(request)

    tokens = AsyncTokenSource(ISSUER, ClientSecret("b", "s"), transport=Transport(), elapsed=clock.elapsed)

    async def call() -> tuple[str, Any]:
        return await tokens.token(ORDERS), tokens._client

    first, client = asyncio.run(call())
    clock.pass_seconds(400)
    # What a loop left behind when it ended.
    loop = asyncio.new_event_loop()
    next(iter(tokens._entries.values())).in_flight = loop.create_future()  # type: ignore[assignment]
    loop.close()
    second, other = asyncio.run(call())
    assert (first, second) == ("token-1", "token-2")
    assert other is not client


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_wait_for_threads_of_its_parent() -> None:
    clock, service, key = Clock(), Service(), Key("a")
    tokens = source(service, clock)
    verifier = Verifier(issuer=ISSUER, audience=ORDERS, transport=Answers(key_set(key)))
    tokens.token(ORDERS)
    clock.pass_seconds(400)
    # As if a thread of the parent were at work in each of them.
    entry = next(iter(tokens._entries.values()))
    entry.in_flight, verifier.keys._in_flight = Future(), Future()
    held = [tokens._settings.lock, verifier.keys._lock, verifier._remembered._lock, verifier._replays._lock]  # type: ignore[attr-defined]
    for lock in held:
        lock.acquire()
    child = os.fork()
    if child == 0:
        # It ends by itself if it waits.
        signal.alarm(20)
        code = 1
        try:
            assert tokens.token(ORDERS) == "token-2"
            assert verifier.verify(key.token(time.time(), aud=ORDERS)).subject == "billing"
            assert verifier._replays.claim("a", seconds=1)
            code = 0
        finally:
            os._exit(code)
    for lock in held:
        lock.release()
    assert os.waitpid(child, 0)[1] == 0


def test_a_token_that_is_refused_is_replaced_over_another_connection() -> None:
    connections: list[tuple[int, str]] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        shown = request.headers["authorization"]
        connections.append((request.client_address[1], shown))
        request.send_response(401 if shown == "Bearer token-1" else 200)
        request.send_header("www-authenticate", 'Bearer error="invalid_token"')
        request.send_header("content-length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    async def refused(url: str) -> None:
        answers = Service()

        class Transport(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return answers.transport.handle_request(request)

        clock = Clock()
        tokens = AsyncTokenSource(ISSUER, ClientSecret("b", "s"), transport=Transport(), elapsed=clock.elapsed)
        await tokens.token(ORDERS)
        clock.pass_seconds(10)
        async with tokens, httpx.AsyncClient(auth=tokens.auth(ORDERS)) as orders:
            assert (await orders.get(url)).status_code == 200

    with Server(handle) as server:
        clock, service = Clock(), Service()
        tokens = source(service, clock)
        tokens.token(ORDERS)
        clock.pass_seconds(10)
        with httpx.Client(auth=tokens.auth(ORDERS)) as orders:
            assert orders.get(server.url).status_code == 200
            assert orders.get(server.url).status_code == 200
        asyncio.run(refused(server.url))
    assert [token for _, token in connections] == [f"Bearer token-{count}" for count in (1, 2, 2, 1, 2)]
    # It may show the certificate that was there before a renewal, and the new token would be refused as well.
    first, second, third, fourth, fifth = (port for port, _ in connections)
    assert (first != second, second == third, fourth != fifth) == (True, True, True)
