"""A dependency for FastAPI and Starlette.

guard = Guard(Verifier(issuer="https://tokens.example.com", audience="https://orders.example.com"))

@app.get("/orders")
async def orders(claims: Annotated[Claims, Depends(guard("orders:read"))]) -> ...:
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .certificates import Certificate
from .claims import Claims
from .errors import VerifyError
from .verifier import Verifier
from .web import Gate, Request, client_certificate, path_as_sent

try:
    from fastapi import HTTPException
    from starlette.requests import HTTPConnection
    from starlette.requests import Request as StarletteRequest
except ImportError as error:
    raise ImportError("This needs an extra: pip install 'mintmark[fastapi]'") from error

if TYPE_CHECKING:
    from .signatures import RequestVerifier


class Refused(HTTPException):
    """The answer to a request that is not let in. `error` is the reason."""

    def __init__(self, error: VerifyError) -> None:
        super().__init__(error.status, detail=error.body, headers=error.headers)
        self.error = error


class Guard:
    """Makes dependencies that let requests in with a token, and give its claims.

    `certificate` says where the client certificate is. Without it, it is taken from the ASGI server, if that tells it:
    see `mintmark.uvicorn`. Take it from a header only if a proxy sets that header, and nobody else can.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        public_url: str | None = None,
        requests: RequestVerifier | None = None,
        certificate: Callable[[HTTPConnection], Certificate | None] | None = None,
    ) -> None:
        self._gate = Gate(verifier, public_url, requests)
        self._certificate = certificate or (lambda request: client_certificate(dict(request.scope)))

    def __call__(self, *scopes: str, signed: bool = False) -> Callable[[HTTPConnection], Awaitable[Claims]]:
        """A dependency that asks for these scopes, and for a signed request where `signed` says so."""

        # A request, or one that begins a WebSocket.
        async def claims(connection: HTTPConnection) -> Claims:
            facts = self._facts(connection)
            try:
                found = await self._gate.authenticate_async(facts, scopes)
                if signed:
                    body = await connection.body() if isinstance(connection, StarletteRequest) else b""
                    self._gate.check_signature(facts, found, body)
            except VerifyError as error:
                raise Refused(error) from error
            return found

        return claims

    def _facts(self, connection: HTTPConnection) -> Request:
        scope = connection.scope
        # As it was sent: `path` is decoded, and two paths would look like one.
        path = scope.get("raw_path") or path_as_sent(scope["path"]).encode()
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        return Request(
            # That of a WebSocket is always GET (RFC 6455 section 4.1).
            scope.get("method", "GET"),
            (path.partition(b"?")[0] + query).decode("latin-1"),
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
            self._certificate(connection),
        )
