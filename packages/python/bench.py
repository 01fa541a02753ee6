"""What a verification costs, beside PyJWT alone, as ratios of one run on one machine.

    python bench.py [seconds]

PyJWT verifies the same token with its key at hand: signature, issuer, audience and times. Cold means that every token
is seen for the first time, warm that it was seen before. Rounds alternate, and the best of each counts: what disturbs a
machine makes it slower, never faster.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark import Verifier

ISSUER, AUDIENCE, ROUNDS = "https://mint.example", "https://orders.example", 7


def main(seconds: float) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": "k", "alg": "ES256"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"keys": [jwk]}))
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=transport)
    public = key.public_key()

    def tokens(count: int) -> list[str]:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "billing", "client_id": "billing", "scope": "orders:read"}
        return [
            jwt.encode(
                {**claims, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())},
                key,
                algorithm="ES256",
                headers={"typ": "at+jwt", "kid": "k"},
            )
            for _ in range(count)
        ]

    def with_pyjwt(token: str) -> None:
        required = ["exp", "iat", "jti", "client_id"]
        jwt.decode(token, public, ["ES256"], {"require": required}, audience=AUDIENCE, issuer=ISSUER)

    def with_verifier(token: str) -> None:
        verifier.verify(token, scope="orders:read")

    verifier.verify(tokens(1)[0])
    each = seconds / ROUNDS / 3
    best = {"PyJWT": 0.0, "cold": 0.0, "warm": 0.0}
    for _ in range(ROUNDS):
        fresh = tokens(round(each * 12_000) + 100)
        known = fresh[:100]
        best["PyJWT"] = max(best["PyJWT"], rate(with_pyjwt, iter(fresh), each))
        best["cold"] = max(best["cold"], rate(with_verifier, iter(fresh), each))
        for token in known:
            verifier.verify(token)
        best["warm"] = max(best["warm"], rate(with_verifier, repeat(known), each))
    print("                     microseconds   beside PyJWT")
    for name, count in best.items():
        print(f"{name:<20} {1e6 / count:>12.1f}   {count / best['PyJWT']:>8.2f} ×")


def repeat(tokens: list[str]) -> Iterator[str]:
    while True:
        yield from tokens


def rate(verify: Callable[[str], None], tokens: Iterator[str], seconds: float) -> float:
    """Verifications in a second of CPU of this process."""
    began = time.process_time()
    count = 0
    for count, token in enumerate(tokens, 1):
        verify(token)
        if count % 50 == 0 and time.process_time() - began > seconds:
            break
    return count / (time.process_time() - began)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 6)
