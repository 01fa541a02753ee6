"""What the tests share: the vectors, a clock that stands still until it is moved, and a service that is made up."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

VECTORS = Path(os.environ.get("MINTMARK_VECTORS", Path(__file__).parents[3] / "test" / "vectors"))
ISSUER = "https://mint.example"
AUDIENCE = "https://orders.example"
NOW = 1_800_000_000.0


def vectors(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / f"{name}.json").read_text())


class Clock:
    """A wall clock and one that only grows. Both move when they are told to."""

    def __init__(self, now: float = NOW) -> None:
        self.wall = now
        self.elapsed_seconds = 1_000.0

    def now(self) -> float:
        return self.wall

    def elapsed(self) -> float:
        return self.elapsed_seconds

    def pass_seconds(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed_seconds += seconds


class Key:
    """A signing key of the service that is made up."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key()))
        self.jwk = {**public, "kid": kid, "alg": "ES256", "use": "sig"}

    def token(self, now: float = NOW, **changed: Any) -> str:
        claims = {
            "iss": ISSUER,
            "sub": "billing",
            "client_id": "billing",
            "aud": AUDIENCE,
            "scope": "orders:read",
            "iat": now,
            "exp": now + 300,
            "jti": "token-1",
            **changed,
        }
        return jwt.encode(claims, self.private, algorithm="ES256", headers={"typ": "at+jwt", "kid": self.kid})


class Answers(httpx.BaseTransport):
    """Answers requests with what it is told to, and counts them. `answer` may be a response, a fault or a function."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self._lock:
            self.requests.append(request)
        answer = self.answer(request) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def key_set(*keys: Key, max_age: int = 300, more: str = "") -> httpx.Response:
    body = {"keys": [key.jwk for key in keys]}
    return httpx.Response(200, json=body, headers={"cache-control": f"public, max-age={max_age}{more}"})


class Server:
    """A real server on a socket, for what only a socket can do: slow bodies, endless bodies, cut-off answers."""

    def __init__(self, handle: Callable[[BaseHTTPRequestHandler], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                handle(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
