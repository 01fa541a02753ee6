"""Client certificates: their thumbprints, wherever they come from."""

from __future__ import annotations

import hashlib
import ssl
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from .compact import encode_base64url

#: A certificate as DER, as PEM, or as an object of `cryptography`.
Certificate: TypeAlias = "bytes | str | x509.Certificate"


def certificate_der(certificate: Certificate) -> bytes:
    """The bytes of exactly one certificate, or ValueError."""
    if isinstance(certificate, x509.Certificate):
        return certificate.public_bytes(Encoding.DER)
    if isinstance(certificate, bytes) and not certificate.lstrip().startswith(b"-----BEGIN"):
        return certificate
    text = certificate.decode("ascii") if isinstance(certificate, bytes) else certificate
    if text.count("-----BEGIN") != 1:
        raise ValueError("not exactly one certificate")
    return ssl.PEM_cert_to_DER_cert(text.strip())


def certificate_thumbprint(certificate: Certificate) -> str:
    """The SHA-256 thumbprint of a certificate: `x5t#S256` (RFC 8705 section 3.1)."""
    return encode_base64url(hashlib.sha256(certificate_der(certificate)).digest())
