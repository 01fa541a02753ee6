"""Mutual TLS on real sockets: certificates reach the application, and renewed files are read."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from certificates import Authority
from fastapi import Depends, FastAPI
from starlette.requests import Request
from support import AUDIENCE, ISSUER, Answers, Key, key_set

from mintmark import Claims, ClientTls, ServerTls, Verifier, VerifyError, certificate_thumbprint
from mintmark.fastapi import Guard
from mintmark.uvicorn import Protocol


@contextmanager
def serving(app: object, tls: ServerTls) -> Iterator[str]:
    """The application on a port of its own, with the real server."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Protocol,
        ssl_context_factory=lambda _config, _default: tls,
        log_level="error",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"https://localhost:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def test_a_token_and_its_certificate_come_together(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, billing, other = (authority.issue(name) for name in ("server", "billing", "other"))
    key = Key("a")
    guard = Guard(Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(key_set(key))))
    app = FastAPI()

    @app.get("/orders")
    async def orders(claims: Claims = Depends(guard("orders:read"))) -> str:
        return claims.subject

    bound = key.token(time.time(), cnf={"x5t#S256": certificate_thumbprint(billing[0].read_text())})
    tls = ServerTls(*server, authority.file, require_client_certificate=False)
    with serving(app, tls) as url:

        def call(certificate: tuple[Path, Path] | None) -> httpx.Response:
            context = ClientTls(*(certificate or (None, None)), ca_file=authority.file)
            with httpx.Client(verify=context) as client:
                return client.get(f"{url}/orders", headers={"authorization": f"Bearer {bound}"})

        assert (call(billing).status_code, call(billing).json()) == (200, "billing")
        missing, wrong = call(None), call(other)
        assert (missing.status_code, wrong.status_code) == (401, 401)
        assert "needs its client certificate" in missing.headers["www-authenticate"]
        assert "another certificate" in wrong.headers["www-authenticate"]


def test_a_caller_that_keeps_its_connection_does_not_hold_up_the_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    app = FastAPI()
    tls = ServerTls(*authority.issue("server"), authority.file, require_client_certificate=False)
    context = ClientTls(None, None, ca_file=authority.file)
    ended = threading.Event()

    def serve_and_end() -> None:
        with serving(app, tls) as url:
            client.get(url)
        ended.set()

    with httpx.Client(verify=context) as client:
        threading.Thread(target=serve_and_end).start()
        # The client still has its connection. asyncio alone would wait for it for 30 seconds.
        assert ended.wait(25)


def test_without_a_certificate_of_the_authority_there_is_no_connection(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "another authority")
    tls = ServerTls(*authority.issue("server"), authority.file)
    with serving(FastAPI(), tls) as url:
        for certificate in ((None, None), stranger.issue("stranger")):
            context = ClientTls(*certificate, ca_file=authority.file)
            with httpx.Client(verify=context) as client, pytest.raises(httpx.TransportError):
                client.get(url)
        with httpx.Client(verify=ClientTls(*authority.issue("billing"), ca_file=authority.file)) as client:
            assert client.get(url).status_code == 404
        # Trust comes from the file that was given, and not from the system.
        with httpx.Client(verify=ClientTls(ca_file=stranger.file)) as client, pytest.raises(httpx.ConnectError):
            client.get(url)


def test_renewed_files_are_used_by_the_next_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = ServerTls(*authority.issue("server"), authority.file)
    client_files = authority.issue("billing", "client")
    context = ClientTls(*client_files, ca_file=authority.file)
    app = FastAPI()

    @app.get("/")
    def shown(request: Request) -> str:
        return certificate_thumbprint(request.scope["extensions"]["tls"]["client_cert_chain"][0])

    def call(url: str) -> tuple[str, str]:
        with httpx.Client(verify=context) as client, client.stream("GET", url) as response:
            stream = response.extensions["network_stream"]
            server = stream.get_extra_info("ssl_object").getpeercert(True)
            response.read()
            return response.json(), certificate_thumbprint(server)

    def on_disk(name: str) -> str:
        return certificate_thumbprint((tmp_path / f"{name}.pem").read_text())

    with serving(app, tls) as url:
        for _ in range(2):
            assert call(url) == (on_disk("client"), on_disk("server"))
            before = on_disk("client"), on_disk("server")
            # Half of a renewal: the certificate is new, the key is old. The old pair goes on.
            keys = {name: (tmp_path / f"{name}.key").read_bytes() for name in ("client", "server")}
            authority.issue("billing", "client")
            authority.issue("server")
            renewed = {name: (tmp_path / f"{name}.key").read_bytes() for name in keys}
            for name, old in keys.items():
                (tmp_path / f"{name}.key").write_bytes(old)
            assert call(url) == before
            for name, new in renewed.items():
                (tmp_path / f"{name}.key").write_bytes(new)
        assert call(url) == (on_disk("client"), on_disk("server"))
        # A file that is gone changes nothing either.
        client_files[0].unlink()
        assert call(url)[1] == on_disk("server")


def test_keys_come_from_an_issuer_whose_authority_is_private(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    key = Key("a")
    app = FastAPI()

    @app.get("/.well-known/jwks.json")
    def keys() -> dict[str, object]:
        return {"keys": [key.jwk]}

    tls = ServerTls(*authority.issue("server"))
    with serving(app, tls) as url:
        token = key.token(time.time(), iss=url)
        trusting = Verifier(issuer=url, audience=AUDIENCE, tls=ClientTls(ca_file=authority.file))
        assert trusting.verify(token).issuer == url
        with pytest.raises(VerifyError, match="keys_unavailable"):
            Verifier(issuer=url, audience=AUDIENCE).verify(token)


def test_contexts_refuse_what_is_old(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = ServerTls(*authority.issue("server"), authority.file)
    assert tls.fresh().minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.fresh().options & ssl.OP_NO_TICKET
    assert tls.fresh().num_tickets == 0
    assert tls.fresh().verify_mode == ssl.CERT_REQUIRED
    assert ClientTls().fresh().check_hostname
    with pytest.raises(OSError):  # noqa: PT011
        ServerTls(tmp_path / "absent", authority.file)
