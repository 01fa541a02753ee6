"""Verifies access tokens, offline, with the published keys of the issuer.

Long because every check of a token is called here, in the order in which they are made, and every setting read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from cryptography import x509

from .certificates import Certificate, certificate_der, certificate_thumbprint
from .challenge import challenge
from .claims import Claims, check_times, read_claims
from .compact import Compact, parse_compact, parse_object
from .dpop import Dpop, ProofRules, verify_proof
from .errors import VerifyError
from .forks import prepare_for_forks
from .jwk import ALGORITHMS, PublicKey
from .keyset import STALE_SECONDS_MAX, KeySource, elapsed_seconds
from .replay import REMEMBERED_SECONDS, ReplayMemory, Replays

_log: Final = logging.getLogger("mintmark")
#: Seconds that clocks may differ. A larger leeway lengthens the life of every token.
LEEWAY_SECONDS: Final = 10
LEEWAY_SECONDS_MAX: Final = 30
#: Longer tokens are verified each time, so that what is remembered stays small.
_REMEMBERED_CHARACTERS_MAX: Final = 4_096


@dataclass(frozen=True)
class Outcome:
    """What came of one call, for a log or a metric. `code` is "accepted", or the code of the refusal."""

    code: str
    issuer: str
    path: str
    subject: str | None = None
    token_id: str | None = None
    detail: str = ""


class Verifier:
    """Verifies the tokens of one issuer for one audience. Make one for each process, and share it between threads."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        algorithms: Iterable[str] = ("ES256",),
        token_types: Iterable[str] = ("at+jwt",),
        leeway_seconds: float = LEEWAY_SECONDS,
        require_binding: bool = False,
        jwks_url: str | None = None,
        allow_insecure_http: bool = False,
        name: str | None = None,
        cooldown_seconds: float = 30,
        stale_seconds_max: float = STALE_SECONDS_MAX,
        fetch_timeout_seconds: float = 5,
        remembered_tokens_max: int = 10_000,
        replays: Replays | None = None,
        proofs: ProofRules | None = None,
        resource_metadata: str | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
        on_keys_event: Callable[[str, str], None] | None = None,
        tls: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self.issuer = _text("issuer", issuer)
        self.audience = _text("audience", audience)
        self.algorithms = _list("algorithms", algorithms)
        if not set(self.algorithms) <= set(ALGORITHMS):
            raise ValueError(f"algorithms: only {', '.join(ALGORITHMS)} can be verified")
        # Media types have no case, and may have "application/" before them (RFC 9068 section 4).
        types = _list("token_types", token_types)
        self._types = frozenset(name for each in types for name in (each.lower(), f"application/{each.lower()}"))
        if not 0 <= leeway_seconds <= LEEWAY_SECONDS_MAX:
            raise ValueError(f"leeway_seconds: from 0 to {LEEWAY_SECONDS_MAX}")
        self._leeway = leeway_seconds
        self._require_binding = require_binding
        self.resource_metadata = resource_metadata
        self._proofs = proofs or ProofRules()
        self._replays = (
            replays
            if replays is not None
            else ReplayMemory(seconds=max(REMEMBERED_SECONDS, self._proofs.remembered_seconds), elapsed=elapsed)
        )
        self._on_outcome = on_outcome
        self._now = now
        self.keys = KeySource(
            _key_url(jwks_url or f"{issuer.rstrip('/')}/.well-known/jwks.json", allow_insecure_http),
            # The service shows it before a rotation: who has the next key, and who has not.
            name=_name(name, audience),
            cooldown_seconds=cooldown_seconds,
            stale_seconds_max=stale_seconds_max,
            timeout_seconds=fetch_timeout_seconds,
            tls=tls,
            transport=transport,
            elapsed=elapsed,
            on_event=on_keys_event,
        )
        self._remembered = _Remembered(remembered_tokens_max)

    def verify(
        self,
        token: str,
        *,
        certificate: Certificate | None = None,
        dpop: Dpop | None = None,
        scope: str | Iterable[str] = (),
        path: str = "",
    ) -> Claims:
        """Verify a token, and return what it claims or raise VerifyError.

        `certificate` is that of the connection, `dpop` the proof that came with the token. `scope` is what the call
        needs. `path` is for the hook alone. Keys are fetched here if they have to be; see `verify_async`.
        """
        return self._verify(token, certificate, dpop, scope, path, self.keys.find)

    def _verify(
        self,
        token: str,
        certificate: Certificate | None,
        dpop: Dpop | None,
        scope: str | Iterable[str],
        path: str,
        find: Callable[[str], PublicKey],
    ) -> Claims:
        scopes = tuple(scope.split()) if isinstance(scope, str) else tuple(scope)
        claims: Claims | None = None
        try:
            claims = self._claims(token, find)
            self._check_binding(claims, token, certificate, dpop)
            if not claims.scopes.issuperset(scopes):
                raise VerifyError("scope_insufficient", " ".join(scopes))
        except VerifyError as error:
            error.www_authenticate = self.challenge(error, scopes)
            self._report(error.code, path, claims, error.detail)
            raise
        self._report("accepted", path, claims)
        return claims

    async def verify_async(
        self,
        token: str,
        *,
        certificate: Certificate | None = None,
        dpop: Dpop | None = None,
        scope: str | Iterable[str] = (),
        path: str = "",
    ) -> Claims:
        """The same for a loop of events: it is not held up by a fetch of keys, which happens in a thread."""
        if self._recalled(_digest(token)) is None and not self._has_key(token):
            await asyncio.to_thread(self._prepare, token)
        return self._verify(token, certificate, dpop, scope, path, self.keys.find_fetched)

    def protected_resource(self, scopes: Iterable[str] = ()) -> dict[str, Any]:
        """The document that `resource_metadata` names (RFC 9728): where a caller gets a token for this service."""
        return {
            "resource": self.audience,
            "authorization_servers": [self.issuer],
            "scopes_supported": list(scopes),
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": list(self._proofs.algorithms),
        }

    def challenge(self, error: VerifyError, scopes: Iterable[str] = ()) -> str:
        """The value of WWW-Authenticate for a refusal."""
        return challenge(error, scopes, self.resource_metadata, self._proofs.algorithms)

    def refused(self, code: str, detail: str = "", *, scopes: Iterable[str] = (), path: str = "") -> VerifyError:
        """A refusal of a request that has no token to verify, reported like the others."""
        error = VerifyError(code, detail)
        error.www_authenticate = self.challenge(error, scopes)
        self._report(code, path, None, detail)
        return error

    def _recalled(self, digest: bytes) -> Claims | None:
        """The claims of a token that was verified before, if its key is still one of the issuer's."""
        entry = self._remembered.get(digest)
        return entry[0] if entry is not None and self.keys.is_current(entry[1]) else None

    def _claims(self, token: str, find: Callable[[str], PublicKey]) -> Claims:
        digest = _digest(token)
        recalled = self._recalled(digest)
        if recalled is not None:
            # The clock may have moved past it, or back.
            check_times(recalled, self._now(), self._leeway)
            return recalled
        compact = parse_compact(token)
        key = find(self._kid(compact))
        if key.algorithm != compact.header["alg"]:
            raise VerifyError("algorithm_not_allowed", "the key is for another algorithm")
        if not key.verifies(compact.signing_input, compact.signature):
            raise VerifyError("signature_wrong")
        # From here on the text is the issuer's. Before, nothing of it was read.
        claims = read_claims(parse_object(compact.payload), self.issuer, self.audience)
        check_times(claims, self._now(), self._leeway)
        if len(token) <= _REMEMBERED_CHARACTERS_MAX:
            self._remembered.put(digest, claims, key)
        return claims

    def _kid(self, compact: Compact) -> str:
        header = compact.header
        if "crit" in header or "b64" in header:
            raise VerifyError("header_unsupported")
        if header.get("alg") not in self.algorithms or not isinstance(header["alg"], str):
            raise VerifyError("algorithm_not_allowed")
        kind = header.get("typ")
        if not isinstance(kind, str) or kind.lower() not in self._types:
            raise VerifyError("type_wrong")
        kid = header.get("kid")
        if not isinstance(kid, str) or kid == "":
            raise VerifyError("key_unknown", "no kid")
        return kid

    def _has_key(self, token: str) -> bool:
        try:
            return self.keys.find_now(self._kid(parse_compact(token))) is not None
        except VerifyError:
            return True

    def _prepare(self, token: str) -> None:
        try:
            self.keys.find(self._kid(parse_compact(token)))
        except VerifyError as error:
            _log.debug("no key: %s", error.code)

    def _check_binding(self, claims: Claims, token: str, certificate: Certificate | None, dpop: Dpop | None) -> None:
        if claims.certificate_thumbprint is not None:
            self._check_certificate(claims.certificate_thumbprint, certificate)
        if claims.key_thumbprint is not None and dpop is None:
            raise VerifyError("proof_missing")
        if dpop is not None:
            if claims.key_thumbprint is None:
                # RFC 9449 section 7.1: whoever shows a proof believes that the token is bound.
                raise VerifyError("token_not_bound", "a proof with a token that is bound to no key")
            verify_proof(dpop, token, claims.key_thumbprint, self._proofs, self._replays, self._now())
        if self._require_binding and not claims.is_bound:
            raise VerifyError("token_not_bound")

    def _check_certificate(self, thumbprint: str, certificate: Certificate | None) -> None:
        if certificate is None or certificate in ("", b""):
            raise VerifyError("certificate_missing")
        try:
            der = certificate_der(certificate)
            same = certificate_thumbprint(der) == thumbprint
            parsed = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise VerifyError("certificate_wrong", "not a certificate") from error
        if not same:
            raise VerifyError("certificate_wrong")
        # A connection can outlive its certificate, and a resumed one has looked at none.
        now = self._now()
        if not parsed.not_valid_before_utc.timestamp() <= now <= parsed.not_valid_after_utc.timestamp():
            raise VerifyError("certificate_expired")

    def _report(self, code: str, path: str, claims: Claims | None, detail: str = "") -> None:
        if self._on_outcome is None:
            return
        subject, token_id = (None, None) if claims is None else (claims.subject, claims.token_id)
        outcome = Outcome(code, self.issuer, path, subject, token_id, detail)
        try:
            self._on_outcome(outcome)
        except Exception:  # A hook that fails must not refuse a good token, nor accept a bad one.
            _log.exception("the hook for outcomes failed")


class _Remembered:
    """Tokens that were verified, by the hash of their whole text, so that none can be taken for another.

    The text itself is not kept. What was used last stays.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[Claims, PublicKey]] = OrderedDict()
        prepare_for_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def get(self, digest: bytes) -> tuple[Claims, PublicKey] | None:
        with self._lock:
            entry = self._entries.get(digest)
            if entry is not None:
                self._entries.move_to_end(digest)
            return entry

    def put(self, digest: bytes, claims: Claims, key: PublicKey) -> None:
        with self._lock:
            self._entries[digest] = (claims, key)
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


def _digest(token: object) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest() if isinstance(token, str) else b""


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or value == "":
        raise ValueError(f"{name}: a verifier without it would accept tokens that are not for it")
    return value


def _name(name: str | None, audience: str) -> str:
    """A name that fits into a header. An audience may be any text."""
    if name is None:
        return re.sub(r"[^!-~]", "_", audience)[:200]
    # A space at an end is no part of a header, so no request could be sent.
    if re.fullmatch(r"(?=[!-~])[ -~]{1,200}(?<! )", name) is None:
        raise ValueError("name: 1 to 200 printable characters of ASCII, and no space at an end")
    return name


def _list(name: str, values: Iterable[str]) -> tuple[str, ...]:
    found = (values,) if isinstance(values, str) else tuple(values)
    if not found:
        raise ValueError(f"{name}: name at least one")
    return found


def _key_url(url: str, allow_insecure_http: bool) -> str:
    parts = urlsplit(url)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and (loopback or allow_insecure_http)):
        raise ValueError("the keys have to come over https: whoever can change them can make tokens")
    if parts.username is not None or parts.fragment:
        raise ValueError("the address of the keys has no user and no fragment")
    return url
