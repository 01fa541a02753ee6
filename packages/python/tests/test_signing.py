"""Requests that httpx signs, as a relying service receives them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support import Answers

from mintmark import VerifyError
from mintmark.signatures import RequestVerifier, SignatureKey
from mintmark.signing import RequestSigner, SignedRequests

URL = "https://orders.example/orders?page=1&x=%20"
SECRET = b"a secret of thirty-two bytes, at least"


def received(signer: RequestSigner, **request: Any) -> httpx.Request:
    answers = Answers(httpx.Response(200))
    with httpx.Client(transport=answers, auth=SignedRequests(signer)) as client:
        client.request(**{"method": "POST", "url": URL, "headers": {"authorization": "Bearer x"}, **request})
    return answers.requests[0]


def check(verifier: RequestVerifier, request: httpx.Request, **more: Any) -> str:
    return verifier.verify(request.method, str(request.url), request.headers.multi_items(), request.content, **more)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65_537, 2_048),
        SECRET,
    ],
    ids=["P-256", "Ed25519", "RSA", "a shared secret"],
)
def test_what_is_signed_is_verified_once(key: Any) -> None:
    signer = RequestSigner(key, keyid="ours")
    known = (
        SignatureKey.shared_secret("ours", key)
        if isinstance(key, bytes)
        else SignatureKey("ours", signer._signer.signature_algorithm, key.public_key())
    )
    verifier = RequestVerifier([known])
    for request in (received(signer, json={"amount": 7}), received(signer, method="GET", headers={})):
        assert check(verifier, request) == "ours"
        with pytest.raises(VerifyError, match="request_replayed"):
            check(verifier, request)


def test_by_the_key_of_a_certificate(tmp_path: Path) -> None:
    certificate, key_file = Authority(tmp_path).issue("billing")
    key: Any = serialization.load_pem_private_key(key_file.read_bytes(), None)
    bound = SignatureKey.from_certificate(certificate.read_text())
    signer = RequestSigner(key)
    assert signer.keyid == bound.keyid
    assert check(RequestVerifier(), received(signer), bound_key=bound) == bound.keyid
    other = RequestSigner(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(VerifyError, match="request_key_wrong"):
        check(RequestVerifier(), received(other), bound_key=bound)
    # Whoever claims the name of the key does not have it.
    thief = RequestSigner(ec.generate_private_key(ec.SECP256R1()), keyid=bound.keyid)
    with pytest.raises(VerifyError, match="request_signature_wrong"):
        check(RequestVerifier(), received(thief), bound_key=bound)


def test_the_token_that_another_auth_attaches_is_covered() -> None:
    class Attach(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Any:
            request.headers["authorization"] = "Bearer token"
            response = yield request
            if response.status_code == 401:
                request.headers["authorization"] = "Bearer renewed"
                yield request

    verifier = RequestVerifier([SignatureKey.shared_secret("ours", SECRET)])
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        check(verifier, request)
        seen.append(request.headers["authorization"])
        tampered = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
        tampered.headers["authorization"] = "Bearer other"
        with pytest.raises(VerifyError, match="request_signature_wrong"):
            check(verifier, tampered)
        return httpx.Response(401 if len(seen) == 1 else 200)

    auth = SignedRequests(RequestSigner(SECRET, keyid="ours"), Attach())
    with httpx.Client(transport=Answers(answer), auth=auth) as client:
        assert client.post(URL, json={"amount": 7}).status_code == 200
    assert seen == ["Bearer token", "Bearer renewed"]


def test_async_requests_are_signed_as_well() -> None:
    verifier = RequestVerifier([SignatureKey.shared_secret("ours", SECRET)])

    async def call() -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            check(verifier, request)
            return httpx.Response(200)

        auth = SignedRequests(RequestSigner(SECRET, keyid="ours"))
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), auth=auth) as client:
            assert (await client.post(URL, content=b"body")).status_code == 200

    asyncio.run(call())


def test_a_signature_is_said_once_and_covers_no_more_than_can_be_read() -> None:
    verifier = RequestVerifier([SignatureKey.shared_secret("ours", SECRET)])
    request = received(RequestSigner(SECRET, keyid="ours"), content=b"x")
    for name, value in (
        ("signature-input", f"{request.headers['signature-input']}, {request.headers['signature-input']}"),
        ("signature", f"{request.headers['signature']}, {request.headers['signature']}"),
        ("signature-input", request.headers["signature-input"].replace("sig1=(", "sig1=(" + '"@path" ' * 40)),
    ):
        headers = [(each, given) for each, given in request.headers.multi_items() if each != name]
        with pytest.raises(VerifyError, match="request_signature_malformed"):
            verifier.verify("POST", URL, [*headers, (name, value)], b"x")
    assert check(verifier, request) == "ours"


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        RequestSigner(b"short", keyid="ours")
    assert SignatureKey.shared_secret("ours", bytes(32)).keyid == "ours"
    with pytest.raises(ValueError, match="32 bytes"):
        SignatureKey.shared_secret("ours", b"short")
    with pytest.raises(ValueError, match="keyid"):
        RequestSigner(SECRET)
