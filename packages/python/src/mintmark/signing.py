"""Signs the requests of a caller (RFC 9421), with a digest of the body (RFC 9530)."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import datetime, timezone
from typing import Final

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .jwk import thumbprint
from .signatures import ALGORITHMS, TAG, Headers, Message, RequestHeaders, SignatureKey, public_jwk

try:
    from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
except ImportError as error:
    raise ImportError("Signed requests need an extra: pip install 'mintmark[signatures]'") from error

_OURS: Final = frozenset(("content-digest", "signature-input", "signature"))


class RequestSigner:
    """Signs requests with a private key, or under a shared secret."""

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | bytes,
        *,
        keyid: str | None = None,
        tag: str = TAG,
        now: Callable[[], float] = time.time,
    ) -> None:
        if isinstance(key, bytes):
            if keyid is None:
                raise ValueError("keyid: both sides have to call the shared secret by the same name")
            algorithm = SignatureKey.shared_secret(keyid, key).algorithm
        else:
            name, jwk = public_jwk(key.public_key())
            algorithm, keyid = ALGORITHMS[name], keyid or thumbprint(jwk)
        self.keyid = keyid
        self._tag = tag
        self._now = now
        resolver = MappingKeyResolver(public_keys={}, private_keys={keyid: key})
        self._signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=resolver)

    def headers(self, method: str, url: str, headers: Headers, body: bytes) -> dict[str, str]:
        """The headers to add to a request."""
        # Signed again, for a second attempt: what the first one added goes.
        present = [(name, value) for name, value in headers if name.lower() not in _OURS]
        message = Message(method, url, RequestHeaders(present))
        covered = ["@method", "@target-uri"]
        covered += [name for name in ("authorization", "content-type") if name in message.headers]
        self._signer.sign(
            message,
            key_id=self.keyid,
            created=datetime.fromtimestamp(int(self._now()), tz=timezone.utc),
            nonce=secrets.token_urlsafe(16),
            label="sig1",
            tag=self._tag,
            covered_component_ids=covered,
            # Adds Content-Digest, and covers it.
            body=body or None,
        )
        return {name: value for name, value in message.headers.items() if name.lower() in _OURS}


class SignedRequests(httpx.Auth):
    """Signs what httpx sends. `auth` comes first, so that the signature covers the token that it attaches."""

    requires_request_body = True

    def __init__(self, signer: RequestSigner, auth: httpx.Auth | None = None) -> None:
        self._signer = signer
        self._auth = auth or httpx.Auth()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.read()
        flow = self._auth.sync_auth_flow(request)
        try:
            each = next(flow)
            while True:
                each = flow.send((yield self._signed(each)))
        except StopIteration:
            return

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        await request.aread()
        flow = self._auth.async_auth_flow(request)
        try:
            each = await flow.__anext__()
            while True:
                each = await flow.asend((yield self._signed(each)))
        except StopAsyncIteration:
            return

    def _signed(self, request: httpx.Request) -> httpx.Request:
        request.headers.update(
            self._signer.headers(request.method, str(request.url), request.headers.multi_items(), request.content)
        )
        return request
