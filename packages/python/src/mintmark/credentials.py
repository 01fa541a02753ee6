"""How a client proves itself at the token endpoint. Files are read again for every use, so they can be renewed."""

from __future__ import annotations

import json
import secrets
import time
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

#: Seconds that an assertion counts. It is used at once, and once.
_ASSERTION_SECONDS: Final = 60
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Credential(Protocol):
    """One way to prove oneself. The parameters and headers are made anew for each request."""

    @property
    def client_id(self) -> str | None: ...

    def prove(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """The parameters and headers that prove it."""


@dataclass(frozen=True)
class ClientSecret:
    """A secret: itself, or the file that has it."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    secret_file: str | Path | None = None

    def __post_init__(self) -> None:
        _one_of("secret", self.secret, self.secret_file)

    def prove(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        secret = self.secret or _read(self.secret_file)
        # RFC 6749 section 2.3.1: both are form-encoded first, so that an id may contain a colon.
        pair = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
        return {}, {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


@dataclass(frozen=True)
class PrivateKey:
    """A private key, in PEM or in a file: `private_key_jwt` (RFC 7523). Only a statement travels, which counts once."""

    client_id: str
    key: str | None = field(default=None, repr=False)
    key_file: str | Path | None = None
    #: The name of the registered key. It may be left out if the client has one key.
    kid: str | None = None
    #: For an RSA key that is registered for RS256.
    algorithm: str | None = None

    def __post_init__(self) -> None:
        _one_of("key", self.key, self.key_file)

    def prove(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        key: Any = load_pem_private_key((self.key or _read(self.key_file)).encode(), password=None)
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            # RFC 10070: the issuer alone, so that no other service can use the statement here.
            "aud": issuer,
            "iat": now,
            "exp": now + _ASSERTION_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        headers: dict[str, Any] = {"typ": "client-authentication+jwt"}
        if self.kid is not None:
            headers["kid"] = self.kid
        assertion = jwt.encode(claims, key, algorithm=self.algorithm or _algorithm(key), headers=headers)
        return {"client_assertion_type": _JWT_BEARER, "client_assertion": assertion}, {}


@dataclass(frozen=True)
class ClientCertificate:
    """The certificate of the connection (RFC 8705). Give its files to `ClientTls`, and that to the token source."""

    client_id: str

    def prove(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        return {"client_id": self.client_id}, {}


@dataclass(frozen=True)
class AssertionFile:
    """A statement that somebody else signed and renews, such as the token of a Kubernetes service account."""

    file: str | Path
    client_id: str | None = None

    def prove(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        parameters = {"client_assertion_type": _JWT_BEARER, "client_assertion": _read(self.file)}
        return (parameters if self.client_id is None else {**parameters, "client_id": self.client_id}), {}


def read_credential(file: str | Path, client_id: str | None = None) -> Credential:
    """The credential in a JSON file: what `seed --secrets-out` writes, or one object with

    - `client_id` and `client_secret`,
    - `client_id` and `private_key_file`, and perhaps `kid`,
    - `client_id` and `"certificate": true`.

    Paths are relative to the file. `client_id` chooses where there are several.
    """
    path = Path(file)
    given = json.loads(path.read_text(encoding="utf-8"))
    clients = given.get("clients", [given])
    found = [each for each in clients if client_id in (None, each["client_id"])]
    if len(found) != 1:
        raise ValueError(f"{path.name}: {len(found)} clients" + (f" named {client_id}" if client_id else ""))
    (client,) = found
    name = client["client_id"]
    if "private_key_file" in client:
        return PrivateKey(name, key_file=path.parent / client["private_key_file"], kid=client.get("kid"))
    if client.get("certificate") is True:
        return ClientCertificate(name)
    return ClientSecret(name, client["client_secret"])


def _one_of(name: str, value: str | None, file: str | Path | None) -> None:
    if (value is None) == (file is None):
        raise ValueError(f"give {name} or {name}_file")
    if value == "":
        raise ValueError(f"{name} is empty")


def _read(file: str | Path | None) -> str:
    # Some editors begin a text with a mark (U+FEFF), which is no part of a secret.
    text = Path(file or "").read_text(encoding="utf-8-sig").strip()
    if text == "":
        # Whoever replaces it has not finished. It would be refused as a wrong one.
        raise ValueError(f"{file}: the file is empty")
    return text


def _algorithm(key: object) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, rsa.RSAPrivateKey):
        return "PS256"
    raise ValueError("a key is P-256, Ed25519 or RSA")
