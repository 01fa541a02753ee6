"""What the frameworks have in common: a request is looked at as a whole, and let in or refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from .authorization import read_authorization
from .certificates import Certificate
from .claims import Claims
from .compact import parse_compact
from .dpop import Dpop
from .errors import VerifyError
from .verifier import Verifier

if TYPE_CHECKING:
    from .signatures import RequestVerifier, SignatureKey


@dataclass(frozen=True)
class Request:
    """The facts of a request, whatever framework it came through."""

    method: str
    #: With its query, as it was sent.
    path: str
    headers: list[tuple[str, str]]
    certificate: Certificate | None

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name]


@dataclass
class Gate:
    """Lets requests in that have what the rules ask for.

    `public_url` is the address of this service as callers see it, for what is compared with it (DPoP proofs, signed
    requests). The Host header does not count: the caller writes it.
    """

    verifier: Verifier
    public_url: str | None = None
    requests: RequestVerifier | None = None
    _origin: str | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url or self.verifier.audience)
        if parts.scheme in ("http", "https"):
            # The path of an audience is a name. That of a public URL is what a proxy takes off.
            path = "" if self.public_url is None else parts.path.rstrip("/")
            self._origin = f"{parts.scheme}://{parts.netloc}{path}"
        elif self.public_url is not None:
            raise ValueError("public_url: an http or https URL")

    def authenticate(self, request: Request, scopes: tuple[str, ...]) -> Claims:
        """The claims of a request that has a token with these scopes, or VerifyError."""
        token, shown = self._shown(request, scopes)
        return self.verifier.verify(token, **shown)

    async def authenticate_async(self, request: Request, scopes: tuple[str, ...]) -> Claims:
        """The same for a loop of events."""
        token, shown = self._shown(request, scopes)
        return await self.verifier.verify_async(token, **shown)

    def check_signature(self, request: Request, claims: Claims, body: bytes) -> None:
        """Whether the request is signed by the key of its token, or by one that is known. Comes after the token, so
        that no body is read for who has none."""
        if self.requests is None:
            raise ValueError("requests: a RequestVerifier is needed where requests have to be signed")
        try:
            self.requests.verify(
                request.method,
                self._url(request),
                request.headers,
                body,
                bound_key=_bound_key(request, claims),
            )
        except VerifyError as error:
            path = request.path.partition("?")[0]
            raise self.verifier.refused(error.code, error.detail, path=path) from error

    def _shown(self, request: Request, scopes: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
        path = request.path.partition("?")[0]
        shown: dict[str, Any] = {"certificate": request.certificate, "scope": scopes, "path": path}
        try:
            scheme, token = read_authorization(request.values("authorization"))
            if scheme == "DPoP":
                if self._origin is None:
                    # No proof can be checked, so it is a scheme that is not understood here.
                    raise VerifyError("token_missing", "DPoP needs public_url, because the audience is no URL")
                shown["dpop"] = Dpop(request.values("dpop"), request.method, self._url(request))
        except VerifyError as error:
            raise self.verifier.refused(error.code, error.detail, scopes=scopes, path=path) from None
        return token, shown

    def _url(self, request: Request) -> str:
        if self._origin is None:
            raise ValueError("public_url: it is needed, because the audience is no URL")
        # A request may name another host, or none (RFC 9112 section 3.2). Behind our origin that is another URL.
        if not request.path.startswith("/"):
            raise VerifyError("request_malformed", "its target is no path")
        return self._origin + request.path


def _bound_key(request: Request, claims: Claims) -> SignatureKey | None:
    """The key that the token is bound to, as the connection or the proof has shown it. Both were verified before."""
    from .signatures import SignatureKey

    if claims.key_thumbprint is not None:
        header = parse_compact(request.values("dpop")[0]).header
        return SignatureKey.from_jwk({"alg": header["alg"], **header["jwk"], "kid": claims.key_thumbprint})
    if claims.certificate_thumbprint is not None and request.certificate is not None:
        try:
            return SignatureKey.from_certificate(request.certificate)
        except ValueError as error:
            # TLS knows more kinds of keys than signatures of requests.
            raise VerifyError("request_key_unknown", str(error)) from error
    return None


def path_as_sent(path: str) -> str:
    """A path that the server has decoded, as callers usually write it."""
    return quote(path, safe="/:@!$&'()*+,;=~")


def client_certificate(scope: dict[str, Any]) -> str | None:
    """The certificate of the connection, where the ASGI server tells it (the TLS extension of ASGI)."""
    chain: Iterable[str] = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    return next(iter(chain), None)
