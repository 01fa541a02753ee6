"""DPoP (RFC 9449): proofs that a caller has the key that its token is bound to; verified here, and made here."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from .compact import parse_compact, parse_object, sha256_base64url
from .errors import VerifyError
from .jwk import PublicKey, algorithm_named, read_public_key, thumbprint
from .replay import Replays

_JTI_CHARACTERS_MAX: Final = 256
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True)
class Dpop:
    """What a proof is compared with: all DPoP headers of a request, its method, and its URL as the caller sees it.

    Take the URL from what you know of your own address, not from the Host header: the caller writes that.
    """

    proof: str | Sequence[str]
    method: str
    url: str


@dataclass(frozen=True)
class ProofRules:
    """Which proofs are accepted."""

    algorithms: tuple[str, ...] = ("ES256", "EdDSA", "PS256")
    #: Seconds that a proof counts, and is remembered.
    age_seconds_max: float = 60
    leeway_seconds: float = 10

    @property
    def remembered_seconds(self) -> float:
        """For how long a proof could be used again: one from ahead of our clock the longest."""
        return self.age_seconds_max + self.leeway_seconds + 1


def verify_proof(dpop: Dpop, token: str, bound_to: str, rules: ProofRules, replays: Replays, now: float) -> str:
    """Verify a proof for a token (RFC 9449 section 4.3), and return the thumbprint of its key."""
    proofs = [dpop.proof] if isinstance(dpop.proof, str) else list(dpop.proof)
    if not proofs:
        raise VerifyError("proof_missing")
    if len(proofs) != 1:
        raise VerifyError("proof_malformed", "more than one DPoP header")
    key, claims = _read(proofs[0], rules)
    _check_claims(claims, dpop, token, rules, now)
    if not hmac.compare_digest(key.thumbprint, bound_to):
        raise VerifyError("proof_key_wrong")
    # Last, so that only whoever has the key can use an identifier up; and for each key apart.
    if not replays.claim("dpop", key.thumbprint, claims["jti"], seconds=rules.remembered_seconds):
        raise VerifyError("proof_replayed")
    return key.thumbprint


def _read(proof: str, rules: ProofRules) -> tuple[PublicKey, dict[str, Any]]:
    try:
        compact = parse_compact(proof)
    except VerifyError as error:
        raise VerifyError("proof_malformed", error.detail) from error
    header = compact.header
    if "crit" in header or "b64" in header:
        raise VerifyError("proof_malformed", "an extension that is not understood")
    kind = header.get("typ")
    if not isinstance(kind, str) or kind.lower() != "dpop+jwt":
        raise VerifyError("proof_type_wrong")
    algorithm = algorithm_named(header.get("alg"))
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise VerifyError("proof_algorithm_not_allowed")
    try:
        key = read_public_key(header.get("jwk"), algorithm)
    except ValueError as error:
        raise VerifyError("proof_key_invalid", str(error)) from error
    if not key.verifies(compact.signing_input, compact.signature):
        raise VerifyError("proof_signature_wrong")
    try:
        return key, parse_object(compact.payload)
    except VerifyError as error:
        raise VerifyError("proof_malformed", error.detail) from error


def _check_claims(claims: dict[str, Any], dpop: Dpop, token: str, rules: ProofRules, now: float) -> None:
    for name in ("jti", "htm", "htu", "iat", "ath"):
        if name not in claims:
            raise VerifyError("proof_claim_missing", name)
    jti, method, url, issued_at, token_hash = (claims[name] for name in ("jti", "htm", "htu", "iat", "ath"))
    if not isinstance(jti, str) or not 0 < len(jti) <= _JTI_CHARACTERS_MAX:
        raise VerifyError("proof_claim_invalid", "jti")
    if isinstance(issued_at, bool) or not isinstance(issued_at, (int, float)) or not 0 <= issued_at < 1e11:
        raise VerifyError("proof_claim_invalid", "iat")
    for name, value in (("htm", method), ("htu", url), ("ath", token_hash)):
        if not isinstance(value, str):
            raise VerifyError("proof_claim_invalid", name)
    normal = normal_url(url)
    if normal is None:
        raise VerifyError("proof_claim_invalid", "htu is not an absolute URL")
    if method != dpop.method:
        raise VerifyError("proof_method_wrong")
    if normal != normal_url(dpop.url):
        raise VerifyError("proof_url_wrong")
    if not now - rules.age_seconds_max <= issued_at <= now + rules.leeway_seconds:
        raise VerifyError("proof_time_wrong")
    if token_hash != sha256_base64url(token.encode()):
        raise VerifyError("proof_token_wrong")


def normal_url(url: str) -> str | None:
    """A URL without query and fragment, normalised (RFC 3986 sections 6.2.2 and 6.2.3). None if it is not absolute."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname:
        return None
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is not None and port != {"http": 80, "https": 443}[scheme]:
        host = f"{host}:{port}"
    path = re.sub(r"%([0-9A-Fa-f]{2})", _unescaped, parts.path)
    return f"{scheme}://{user}{at}{host}{_without_dots(path) or '/'}"


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/".join(kept)


class DpopKey:
    """A key of a caller, in memory alone, with which it makes proofs."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self._jwk: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        #: What a token that is bound to this key has in `cnf.jkt`.
        self.thumbprint = thumbprint(self._jwk)

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        return self._key

    def proof(self, method: str, url: str, token: str | None = None, nonce: str | None = None) -> str:
        """A proof for one request. Without a token it is for the token endpoint."""
        parts = urlsplit(url)
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": f"{parts.scheme}://{parts.netloc}{parts.path}",
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = sha256_base64url(token.encode())
        if nonce is not None:
            claims["nonce"] = nonce
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"typ": "dpop+jwt", "jwk": self._jwk})
