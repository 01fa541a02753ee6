"""Verifies tokens in Python: one line in (a round), one line out (what it cost). load/verify.ts is the same for Node."""

import json
import sys
import time
import uuid

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark import Verifier

ISSUER, AUDIENCE = "https://tokens.example.com", "https://orders.example.com"
#: More than any memory of tokens has places for, so that each token comes as if for the first time.
TOKENS_MADE = 30_000
BATCH = 50

private = ec.generate_private_key(ec.SECP256R1())
public = private.public_key()
jwk = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(public)), "kid": "bench", "alg": "ES256", "use": "sig"}
now = int(time.time())
common = {"iss": ISSUER, "aud": AUDIENCE, "sub": "billing", "client_id": "billing", "scope": "orders:read"}
common |= {"iat": now, "exp": now + 86_400}
headers = {"typ": "at+jwt", "kid": "bench"}
fresh = [
    jwt.encode({**common, "jti": str(uuid.uuid4())}, private, algorithm="ES256", headers=headers)
    for _ in range(TOKENS_MADE)
]
keys = httpx.MockTransport(lambda _: httpx.Response(200, json={"keys": [jwk]}))
verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=keys)


def with_pyjwt(token: str) -> None:
    """As its page says, with the key at hand."""
    required = ["exp", "iat", "jti", "client_id"]
    jwt.decode(token, public, ["ES256"], {"require": required}, audience=AUDIENCE, issuer=ISSUER)


contestants = {"mintmark": lambda token: verifier.verify(token), "PyJWT": with_pyjwt}
#: Which token comes next, over all rounds of a contestant: none comes again while it may be remembered.
places = dict.fromkeys(contestants, 0)
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    verify, place, verified = contestants[asked["contestant"]], places[asked["contestant"]], 0
    began, began_cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < asked["seconds"]:
        for _ in range(BATCH):
            verify(fresh[place % TOKENS_MADE if asked["isCold"] else 0])
            place += 1
        verified += BATCH
    places[asked["contestant"]] = place
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(json.dumps({"verified": verified, "seconds": seconds, "cpuMicroseconds": cpu * 1e6}), flush=True)
