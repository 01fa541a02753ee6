"""Whatever comes, the answer is a refusal with a code: never another error, and never a false acceptance."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

import httpx
import jwt
import pytest
from support import AUDIENCE, ISSUER, Answers, Key, key_set

from mintmark import Dpop, DpopKey, Verifier, VerifyError
from mintmark.authorization import read_authorization
from mintmark.compact import encode_base64url
from mintmark.signatures import RequestVerifier, SignatureKey
from mintmark.signing import RequestSigner

ROUNDS = int(os.environ.get("MINTMARK_FUZZ_ROUNDS", "500"))
KEY, PROOF_KEY = Key("a"), DpopKey()
NAMES = ["key_ops", "use", "crit", "b64", "cnf", "nbf", "x5c", "oth", "kid"]
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**400,
    "",
    "x",
    "\0",
    "\ud800",
    "é" * 9,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"kty": "EC"},
    ["verify"],
    "none",
    "A" * 43,
    1.5,
]


def mutated(value: Any, chance: random.Random) -> Any:
    """The same JSON with one thing changed, somewhere."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        changed = dict(value)
        if chance.random() < 0.2:
            del changed[name]
        elif chance.random() < 0.2:
            changed[chance.choice(["key_ops", "use", "crit", "b64", "cnf", "nbf", "x5c", "oth", "kid"])] = (
                chance.choice(ODD)
            )
        else:
            changed[name] = mutated(value[name], chance)
        return changed
    return chance.choice(ODD)


def damaged(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(["", ".", "=", "\n", "é", "A", "\ud800", text[at:] * 2]) + text[at + 1 :]


def part(value: Any) -> str:
    return encode_base64url(json.dumps(value).encode())


def test_tokens() -> None:
    chance = random.Random(1)
    # Bound to what nobody shows, so that every token is refused, whatever it has become.
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(key_set(KEY)), require_binding=True)
    good = KEY.token(time.time(), cnf={"jkt": "A" * 43, "x5t#S256": "A" * 43})
    header = jwt.get_unverified_header(good)
    claims = jwt.decode(good, options={"verify_signature": False})
    algorithm = jwt.get_algorithm_by_name("ES256")
    codes = set()
    for _ in range(ROUNDS):
        kind = chance.random()
        if kind < 0.3:
            token = damaged(good, chance)
        else:
            head, payload = (mutated(header, chance), claims) if kind < 0.6 else (header, mutated(claims, chance))
            text = f"{part(head)}.{part(payload)}"
            token = f"{text}.{encode_base64url(algorithm.sign(text.encode(), KEY.private))}"
        with pytest.raises(VerifyError) as error:
            verifier.verify(token)
        codes.add(error.value.code)
    assert len(codes) > 8


def test_key_sets() -> None:
    chance = random.Random(2)
    other = Key("other")
    for _ in range(ROUNDS // 3):
        # One good key, and one that is anything: the good one works, and nobody becomes the owner of another.
        odd = mutated(other.jwk, chance)
        text = json.dumps({"keys": chance.sample([KEY.jwk, odd], 2)})
        if "\\ud800" in text:
            continue
        verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(httpx.Response(200, text=text)))
        assert verifier.verify(KEY.token(time.time())).subject == "billing"


def test_proofs() -> None:
    chance = random.Random(3)
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(key_set(KEY)))
    token = KEY.token(time.time(), cnf={"jkt": PROOF_KEY.thumbprint})
    url = f"{AUDIENCE}/orders"
    good = PROOF_KEY.proof("GET", url, token)
    header = jwt.get_unverified_header(good)
    claims = jwt.decode(good, options={"verify_signature": False})
    algorithm = jwt.get_algorithm_by_name("ES256")
    verifier.verify(token, dpop=Dpop(good, "GET", url))
    codes = set()
    for _ in range(ROUNDS):
        kind = chance.random()
        if kind < 0.3:
            proof = damaged(good, chance)
        else:
            head, payload = (mutated(header, chance), claims) if kind < 0.6 else (header, mutated(claims, chance))
            text = f"{part(head)}.{part(payload)}"
            proof = f"{text}.{encode_base64url(algorithm.sign(text.encode(), PROOF_KEY.private_key))}"
        try:
            verifier.verify(token, dpop=Dpop(proof, "GET", url))
        except VerifyError as error:
            codes.add(error.code)
        else:
            # Only what nobody looks at may have changed: another jti, or a member that is not known.
            seen = jwt.decode(proof, options={"verify_signature": False})
            assert {name: seen[name] for name in ("htm", "htu", "ath")} == {
                name: claims[name] for name in ("htm", "htu", "ath")
            }
    assert len(codes) > 6


def test_signed_requests() -> None:
    chance = random.Random(4)
    signer = RequestSigner(PROOF_KEY.private_key, keyid="ours")
    jwk = jwt.get_unverified_header(PROOF_KEY.proof("GET", AUDIENCE))["jwk"]
    known = SignatureKey.from_jwk({**jwk, "alg": "ES256", "kid": "ours"})
    url, body = f"{AUDIENCE}/orders", b'{"amount":7}'
    signed = signer.headers("POST", url, [("authorization", "Bearer x")], body)
    headers = {"authorization": "Bearer x", **signed}
    verifier = RequestVerifier([known])
    verifier.verify("POST", url, headers.items(), body)
    codes = set()
    for _ in range(ROUNDS):
        changed = dict(headers)
        name = chance.choice(list(changed))
        changed[name] = damaged(changed[name], chance)
        with pytest.raises(VerifyError) as error:
            verifier.verify("POST", url, changed.items(), body)
        codes.add(error.value.code)
    assert len(codes) > 4


def test_authorization_headers() -> None:
    chance = random.Random(5)
    for _ in range(ROUNDS):
        value = damaged("Bearer abc.def.ghi", chance)
        try:
            scheme, token = read_authorization([value])
        except VerifyError:
            continue
        assert value.lower() == f"{scheme} {token}".lower()
