"""Public keys: which JSON Web Keys are taken, and how a signature is verified with one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm

from .compact import decode_base64url, sha256_base64url
from .errors import VerifyError

#: What each algorithm takes. An algorithm that is not here cannot be configured.
_KINDS: Final = {
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
    "Ed25519": {"kty": "OKP", "crv": "Ed25519"},
    "PS256": {"kty": "RSA"},
    "RS256": {"kty": "RSA"},
}
ALGORITHMS: Final = tuple(_KINDS)
_RSA_BITS: Final = range(2_048, 8_193)
#: The members of a thumbprint (RFC 7638 section 3.2).
_REQUIRED: Final = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("e", "n")}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True)
class PublicKey:
    """A key that was looked at, with the one algorithm that it is for."""

    kid: str
    algorithm: str
    thumbprint: str
    key: Any
    _implementation: Algorithm

    def verifies(self, data: bytes, signature: bytes) -> bool:
        # OpenSSL also takes a signature of RSA without its leading zeros, which is another text (RFC 8017 §8.1.2).
        if isinstance(self.key, RSAPublicKey) and len(signature) != (self.key.key_size + 7) // 8:
            return False
        try:
            return bool(self._implementation.verify(data, self.key, signature))
        except Exception:  # Whatever a library throws at a signature, the signature is wrong.
            return False


def algorithm_named(alg: object) -> object:
    """Return the algorithm that a proof or a key names. EdDSA has two names (RFC 9864)."""
    return "EdDSA" if alg == "Ed25519" else alg


def read_public_key(jwk: object, algorithm: str | None = None) -> PublicKey:
    """Take a JSON Web Key, or raise ValueError.

    Its algorithm comes from the key. `algorithm` is for keys that a proof carries, which need not name one.
    """
    if not isinstance(jwk, dict):
        raise ValueError("not a JSON Web Key")
    if not _PRIVATE.isdisjoint(jwk):
        raise ValueError("not a public key")
    named = jwk.get("alg", algorithm)
    if algorithm is not None and algorithm_named(named) != algorithm_named(algorithm):
        raise ValueError("a key for another algorithm")
    if not isinstance(named, str) or named not in _KINDS:
        raise ValueError("a key for no algorithm that is known")
    if any(jwk.get(name) != value for name, value in _KINDS[named].items()):
        raise ValueError("a key of another kind than its algorithm")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("a key for another use")
    try:
        thumb = thumbprint(jwk)
        implementation = jwt.get_algorithm_by_name("EdDSA" if named == "Ed25519" else named)
        key = implementation.from_jwk({name: jwk[name] for name in ("kty", *_REQUIRED[jwk["kty"]])})
    except (jwt.PyJWTError, VerifyError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not a valid key") from error
    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        # With the exponent 1 everybody can sign. A long one makes each verification slow.
        if numbers.n.bit_length() not in _RSA_BITS or not 3 <= numbers.e < 2**64 or numbers.e % 2 == 0:
            raise ValueError("an RSA key of a wrong size or exponent")
        if _can_be_factored(numbers.n):
            raise ValueError("an RSA key that can be factored")
    kid = jwk.get("kid", "")
    if not isinstance(kid, str):
        raise ValueError("a kid that is no text")
    return PublicKey(kid, named, thumb, key, implementation)


#: The small primes of which 65537 does not reach every remainder.
_TELLING_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_POWERS: Final = {prime: {pow(65_537, power, prime) for power in range(prime)} for prime in _TELLING_PRIMES}


def _can_be_factored(modulus: int) -> bool:
    """Keys that a widespread chip made (CVE-2017-15361, "ROCA"): their modulus is a power of 65537 modulo all of these.

    Of other keys, one in a hundred million is.
    """
    return all(modulus % prime in powers for prime, powers in _POWERS.items())


def thumbprint(jwk: dict[str, Any]) -> str:
    """The SHA-256 thumbprint of a public key (RFC 7638)."""
    members: dict[str, Any] = {name: jwk.get(name) for name in _REQUIRED[jwk["kty"]]}
    for name, value in members.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} is not a text")
        # Another spelling of the same number would be another thumbprint.
        if name != "crv" and len(decode_base64url(value)) == 0:
            raise ValueError(f"{name} is empty")
    members["kty"] = jwk["kty"]
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return sha256_base64url(text.encode())
