"""Uvicorn with client certificates: the application learns which one a connection has (the TLS extension of ASGI).

    uvicorn app:app --http mintmark.uvicorn:Protocol --ssl-certfile … --ssl-keyfile … --ssl-ca-certs … --ssl-cert-reqs 2

`run` does the same from a program, with files that may be renewed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from .tls import ServerTls

try:
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
except ImportError as error:
    raise ImportError("This needs an extra: pip install 'mintmark[uvicorn]'") from error


class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # Which one it is depends on what is installed.
    """The protocol of uvicorn, with the certificate of the connection in the scope of each request."""

    app: Any
    cycle: Any
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.app = _with_extension(self.app, tls)

    def shutdown(self) -> None:
        """The server ends. An idle connection ends at once.

        asyncio would wait 30 seconds for the other side to say goodbye in TLS, and who pools connections does not.
        """
        cycle = self.cycle
        super().shutdown()
        if cycle is None or cycle.response_complete:
            self.transport.abort()


def _with_extension(app: Any, tls: ssl.SSLObject) -> Callable[..., Awaitable[None]]:
    der = tls.getpeercert(binary_form=True)
    extension = {
        "client_cert_chain": [] if der is None else [ssl.DER_cert_to_PEM_cert(der)],
        "client_cert_name": None,
        "client_cert_error": None,
        "server_cert": None,
        "tls_version": None,
        "cipher_suite": None,
    }

    async def with_extension(scope: dict[str, Any], receive: Any, send: Any) -> None:
        extensions = {**scope.get("extensions", {}), "tls": extension}
        await app({**scope, "extensions": extensions}, receive, send)

    return with_extension


def run(app: Any, *, host: str, port: int, tls: ServerTls | None = None, **options: Any) -> None:
    """Serve an application. With `tls`, over https with files that are read again when they were renewed."""
    if tls is not None:
        context = tls
        options["ssl_context_factory"] = lambda _config, _default: context
    uvicorn.run(app, host=host, port=port, http=Protocol, **options)
