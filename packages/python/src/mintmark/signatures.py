"""Signed requests (RFC 9421) with a digest of the body (RFC 9530): nobody between can change or repeat a request.

The signature is by the key that the token is bound to, or under a shared secret on a private network. What is signed,
and how, is the work of http-message-signatures; what has to be signed, by whom, when and once is decided here.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from .certificates import Certificate, certificate_der
from .compact import decode_base64url
from .errors import VerifyError
from .jwk import read_public_key, thumbprint
from .keyset import elapsed_seconds
from .replay import REMEMBERED_SECONDS, ReplayMemory, Replays

try:
    import http_sf
    from http_message_signatures import HTTPMessageVerifier, MappingKeyResolver, algorithms
except ImportError as error:
    raise ImportError("Signed requests need an extra: pip install 'mintmark[signatures]'") from error

ALGORITHMS: Final[Mapping[str, Any]] = {
    "ES256": algorithms.ECDSA_P256_SHA256,
    "EdDSA": algorithms.ED25519,
    "Ed25519": algorithms.ED25519,
    "PS256": algorithms.RSA_PSS_SHA512,
    "HS256": algorithms.HMAC_SHA256,
}
_DERIVED: Final = frozenset(("@method", "@target-uri", "@authority", "@scheme", "@path", "@query", "@request-target"))
_DIGESTS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_NONCE_CHARACTERS_MAX: Final = 256
_COMPONENTS_MAX: Final = 32
#: Bytes of a shared secret. With fewer, it can be found by trying.
_SECRET_BYTES_MIN: Final = 32
TAG: Final = "mintmark"

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class SignatureKey:
    """What a signature is verified with: a public key, or a secret that both sides have."""

    keyid: str
    algorithm: Any
    key: Any

    @staticmethod
    def from_jwk(jwk: Mapping[str, Any]) -> SignatureKey:
        """A JSON Web Key. Its `kid` is the keyid; without one, its thumbprint."""
        if jwk.get("kty") == "oct":
            if jwk.get("alg") != "HS256":
                raise ValueError("a shared secret is for HS256")
            return SignatureKey.shared_secret(str(jwk["kid"]), decode_base64url(str(jwk["k"])))
        key = read_public_key(dict(jwk))
        return SignatureKey(key.kid or key.thumbprint, ALGORITHMS[key.algorithm], key.key)

    @staticmethod
    def from_certificate(certificate: Certificate) -> SignatureKey:
        """The key of a client certificate, named by its thumbprint (RFC 7638)."""
        public = x509.load_der_x509_certificate(certificate_der(certificate)).public_key()
        algorithm, jwk = public_jwk(public)
        return SignatureKey(thumbprint(jwk), ALGORITHMS[algorithm], public)

    @staticmethod
    def shared_secret(keyid: str, secret: bytes) -> SignatureKey:
        if len(secret) < _SECRET_BYTES_MIN:
            raise ValueError(f"a shared secret has {_SECRET_BYTES_MIN} bytes or more")
        return SignatureKey(keyid, algorithms.HMAC_SHA256, secret)


class RequestVerifier:
    """Verifies signed requests. `keys` are the keys that may sign, or a function that finds one by its keyid."""

    def __init__(
        self,
        keys: Iterable[SignatureKey] | Callable[[str], SignatureKey | None] = (),
        *,
        tag: str = TAG,
        age_seconds_max: float = 60,
        leeway_seconds: float = 10,
        replays: Replays | None = None,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        if callable(keys):
            self._find = keys
        else:
            self._find = {key.keyid: key for key in keys}.get
        self._tag = tag
        self._age_max = age_seconds_max
        self._leeway = leeway_seconds
        #: For how long a request could be sent again: one from ahead of our clock the longest.
        self._remembered_seconds = age_seconds_max + leeway_seconds + 1
        self._replays = (
            replays
            if replays is not None
            else ReplayMemory(seconds=max(REMEMBERED_SECONDS, self._remembered_seconds), elapsed=elapsed)
        )
        self._now = now

    def verify(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes,
        *,
        bound_to: str | None = None,
        bound_key: SignatureKey | None = None,
    ) -> str:
        """Verify a request, and return the keyid of its key or raise VerifyError.

        `url` is the whole URL as the caller sees it. `headers` has every header that came. `bound_to` is the
        thumbprint of the key that the caller's token is bound to, `bound_key` that key itself, where the connection or
        a proof has shown it: then no other key will do.
        """
        message = Message(method, url, RequestHeaders(headers))
        components, parameters = self._signature_input(message)
        self._check_parameters(parameters)
        _check_components(components, message, body)
        key = bound_key or self._find(parameters["keyid"])
        if key is None:
            raise VerifyError("request_key_unknown")
        if parameters["keyid"] != key.keyid or bound_to not in (None, key.keyid):
            raise VerifyError("request_key_wrong")
        if parameters.get("alg", key.algorithm.algorithm_id) != key.algorithm.algorithm_id:
            raise VerifyError("request_algorithm_not_allowed")
        self._check_time(parameters)
        self._check_signature(message, key)
        if "content-digest" in components:
            _check_digest(message.headers.joined("content-digest"), body)
        # Last, so that only whoever has the key can use a nonce up; and for each key apart.
        if not self._replays.claim("request", key.keyid, parameters["nonce"], seconds=self._remembered_seconds):
            raise VerifyError("request_replayed")
        return key.keyid

    def _signature_input(self, message: Message) -> tuple[list[str], dict[str, Any]]:
        """The components and parameters of the one signature with our tag."""
        inputs, signatures = (message.headers.joined(name) for name in ("signature-input", "signature"))
        if inputs == "" or signatures == "":
            raise VerifyError("request_signature_missing")
        parsed, values = _dictionary(inputs), _dictionary(signatures)
        tagged = [label for label, (_, parameters) in parsed.items() if parameters.get("tag") == self._tag]
        if not tagged:
            raise VerifyError("request_signature_missing", f"no signature with the tag {self._tag}")
        if len(tagged) > 1 or not isinstance(values.get(tagged[0], ("",))[0], bytes):
            raise VerifyError("request_signature_malformed")
        covered, parameters = parsed[tagged[0]]
        if not isinstance(covered, list) or len(covered) > _COMPONENTS_MAX:
            raise VerifyError("request_signature_malformed")
        components = []
        for name, modifiers in covered:
            if not isinstance(name, str):
                raise VerifyError("request_signature_malformed")
            # A component with a parameter is another component: not known here, so not proven.
            if modifiers or (name.startswith("@") and name not in _DERIVED):
                raise VerifyError("request_component_unsupported", name)
            components.append(name)
        if len(set(components)) != len(components):
            raise VerifyError("request_signature_malformed", "a component stands twice")
        return components, dict(parameters)

    def _check_parameters(self, parameters: dict[str, Any]) -> None:
        for name, kind in (("created", int), ("nonce", str), ("keyid", str), ("expires", int), ("alg", str)):
            value = parameters.get(name)
            if value is None and name in ("created", "nonce", "keyid"):
                raise VerifyError("request_parameter_missing", name)
            if value is not None and type(value) is not kind:
                raise VerifyError("request_signature_malformed", name)
        if not 0 < len(parameters["nonce"]) <= _NONCE_CHARACTERS_MAX:
            raise VerifyError("request_parameter_missing", "nonce")

    def _check_time(self, parameters: dict[str, Any]) -> None:
        now = self._now()
        if not now - self._age_max <= parameters["created"] <= now + self._leeway:
            raise VerifyError("request_time_wrong", "created")
        if "expires" in parameters and now >= parameters["expires"] + self._leeway:
            raise VerifyError("request_time_wrong", "expires")

    def _check_signature(self, message: Message, key: SignatureKey) -> None:
        resolver = MappingKeyResolver(public_keys={key.keyid: key.key}, private_keys={})
        verifier = _TimelessVerifier(signature_algorithm=key.algorithm, key_resolver=resolver)
        try:
            results = verifier.verify(message, max_age=None, expect_tag=self._tag)
        except Exception as error:  # Whatever the library throws at a signature, the signature is wrong.
            raise VerifyError("request_signature_wrong", str(error)) from error
        if len(results) != 1:
            raise VerifyError("request_signature_malformed")


class _TimelessVerifier(HTTPMessageVerifier):
    """Time was checked, by a clock that tests can set and with a code for what was wrong."""

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        pass


def _dictionary(value: str) -> dict[str, Any]:
    def refuse(name: str, context: str) -> None:
        if context == "dictionary":
            raise ValueError(f"{name} stands twice")

    try:
        parsed: Any = http_sf.parse(value.encode("ascii"), tltype="dictionary", on_duplicate_key=refuse)
    except Exception as error:
        raise VerifyError("request_signature_malformed", str(error)) from error
    return dict(parsed)


def _check_components(components: list[str], message: Message, body: bytes) -> None:
    for name in components:
        if not name.startswith("@") and name not in message.headers:
            raise VerifyError("request_component_missing", f"{name} is not in the request")
    needed = ["@method", "@target-uri"]
    # What is there must be covered: else it could be put there, or changed, by anybody.
    needed += [name for name in ("authorization", "content-digest") if name in message.headers]
    if body and "content-digest" not in needed:
        raise VerifyError("request_component_missing", "a body without Content-Digest")
    for name in needed:
        if name not in components:
            raise VerifyError("request_component_missing", f"{name} is not covered")


def _check_digest(value: str, body: bytes) -> None:
    """Each digest that is known must be right, and one must be known. Others are ignored (RFC 9530 section 2)."""
    try:
        digests = _dictionary(value)
    except VerifyError as error:
        raise VerifyError("request_digest_wrong", error.detail) from error
    known = [(digests[name][0], hashed(body).digest()) for name, hashed in _DIGESTS.items() if name in digests]
    if not known or not all(isinstance(given, bytes) and hmac.compare_digest(given, right) for given, right in known):
        raise VerifyError("request_digest_wrong")


def public_jwk(key: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256", jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA", jwt.algorithms.OKPAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, rsa.RSAPublicKey):
        return "PS256", jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    raise ValueError("a key is P-256, Ed25519 or RSA")


@dataclass
class Message:
    """A request as http-message-signatures reads it."""

    method: str
    url: str
    headers: RequestHeaders


class RequestHeaders:
    """Every header that came, in its order."""

    def __init__(self, fields: Headers) -> None:
        self._fields = [(name, value) for name, value in fields]

    def items(self) -> list[tuple[str, str]]:
        return self._fields

    def joined(self, name: str) -> str:
        """All values of a header as one (RFC 9421 section 2.1)."""
        return ", ".join(value.strip(" \t") for each, value in self._fields if each.lower() == name.lower())

    def __iter__(self) -> Any:
        return iter([name for name, _ in self._fields])

    def __contains__(self, name: str) -> bool:
        return any(each.lower() == name.lower() for each, _ in self._fields)

    def __setitem__(self, name: str, value: str) -> None:
        self._fields.append((name, value))

    def __delitem__(self, name: str) -> None:
        self._fields = [(each, value) for each, value in self._fields if each.lower() != name.lower()]
