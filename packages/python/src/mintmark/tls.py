"""Contexts for mutual TLS that read their files again when these were renewed. Nothing has to be restarted.

A certificate is renewed while connections are made. So a new context is made from the new files, and takes the place of
the old one only if it is whole: certificate and key fit, and neither is half written.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

_log: Final = logging.getLogger("mintmark")

File: TypeAlias = "str | Path"


class _Renewing(ssl.SSLContext):
    """Makes every connection with a context that has the files as they are now."""

    # A context of ssl is made by __new__, which takes the protocol alone.
    def __new__(cls, *_: Any, **__: Any) -> _Renewing:
        return super().__new__(cls, cls._protocol)

    _protocol = ssl.PROTOCOL_TLS_CLIENT

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Iterable[File | None]) -> None:
        super().__init__()
        self._make = make
        self._files = [Path(file) for file in files if file is not None]
        self._lock = threading.Lock()
        self._alpn: list[str] | None = None
        self._seen = self._stamp()
        self._current = make()

    def fresh(self) -> ssl.SSLContext:
        """The context with the files as they are now, or the last one that was whole."""
        with self._lock:
            seen = self._stamp()
            if seen != self._seen:
                try:
                    current = self._make()
                    if self._alpn is not None:
                        current.set_alpn_protocols(self._alpn)
                    self._current = current
                    self._seen = seen
                except (OSError, ssl.SSLError, ValueError) as error:
                    # Looked at again with the next connection: the other file may come later.
                    _log.warning("tls_files_unusable: %s; the old ones are used", error)
            return self._current

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return self.fresh().wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self.fresh().wrap_bio(*args, **kwargs)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        with self._lock:
            self._alpn = list(alpn_protocols)
            self._current.set_alpn_protocols(self._alpn)

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        stamps: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                # The target of a link, which is what Kubernetes changes.
                found = os.stat(file)
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except OSError:
                stamps.append(None)
        return stamps


class ClientTls(_Renewing):
    """For callers: shows the certificate, if there is one, and trusts `ca_file`, or what the system trusts."""

    def __init__(
        self,
        certificate_file: File | None = None,
        key_file: File | None = None,
        ca_file: File | None = None,
    ) -> None:
        def make() -> ssl.SSLContext:
            context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
            _harden(context)
            if certificate_file is not None:
                context.load_cert_chain(certificate_file, key_file)
            return context

        super().__init__(make, (certificate_file, key_file, ca_file))


class ServerTls(_Renewing):
    """For services: has a certificate, and with `client_ca_file` asks every caller for one that this authority signed.

    With `require_client_certificate=False`, callers without one are let in, and tokens that are bound are refused.
    """

    _protocol = ssl.PROTOCOL_TLS_SERVER

    def __init__(
        self,
        certificate_file: File,
        key_file: File | None = None,
        client_ca_file: File | None = None,
        *,
        require_client_certificate: bool = True,
    ) -> None:
        def make() -> ssl.SSLContext:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _harden(context)
            # A resumed session shows no certificate, and would keep an old one alive.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
            context.load_cert_chain(certificate_file, key_file)
            if client_ca_file is not None:
                context.load_verify_locations(cafile=str(client_ca_file))
                context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
            return context

        super().__init__(make, (certificate_file, key_file, client_ca_file))


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
