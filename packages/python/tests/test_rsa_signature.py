"""Signatures of RSA have the length of the key (RFC 8017 §8.1.2, step 1)."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import Algorithm, RSAAlgorithm, RSAPSSAlgorithm

from mintmark.jwk import read_public_key


@pytest.mark.parametrize(("name", "kind"), [("PS256", RSAPSSAlgorithm), ("RS256", RSAAlgorithm)])
def test_a_signature_whose_leading_zero_is_cut_off_is_another_text(name: str, kind: type[Algorithm]) -> None:
    implementation = kind(kind.SHA256)  # type: ignore[attr-defined, call-arg]
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(RSAAlgorithm.to_jwk(private.public_key()))
    key = read_public_key({**{member: jwk[member] for member in ("kty", "n", "e")}, "kid": "a", "alg": name})
    count, data, signature = 0, b"", b"\x01"
    while signature[0] != 0:
        count += 1
        data = f"data {count}".encode()
        signature = implementation.sign(data, private)
    assert key.verifies(data, signature)
    assert not key.verifies(data, signature[1:])
