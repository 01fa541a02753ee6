"""Every vector of test/vectors, which other implementations pass as well."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support import Answers, Clock, vectors

from mintmark import REFUSALS, Dpop, ProofRules, Verifier, VerifyError
from mintmark.authorization import read_authorization
from mintmark.signatures import RequestVerifier, SignatureKey

TOKENS = vectors("tokens")
PROOFS = vectors("dpop")
AUTHORIZATION = vectors("authorization")
REQUESTS = vectors("signed-requests")


def of(cases: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("case", cases["cases"], ids=lambda case: case["name"])


def whole(text: str | list[list[Any]]) -> str:
    return text if isinstance(text, str) else "".join(part * times for part, times in text)


def plain(value: Any) -> Any:
    """What was frozen, as it was."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return {name: plain(member) for name, member in value.items()} if hasattr(value, "items") else value


def test_the_codes_are_those_of_the_vectors() -> None:
    listed = vectors("codes")["codes"]
    ours = {code: (each.status, each.error or None) for code, each in REFUSALS.items()}
    assert ours == {code: (each["status"], each["error"]) for code, each in listed.items()}


@of(TOKENS)
def test_tokens(case: dict[str, Any]) -> None:
    verifier = Verifier(
        issuer=case["issuer"],
        audience=case["audience"],
        algorithms=case["algorithms"],
        leeway_seconds=case["leewaySeconds"],
        transport=Answers(httpx.Response(200, json=TOKENS["keySets"][case["keys"]])),
        now=lambda: case["now"],
    )
    # The second time it is in memory, if it was good.
    for _ in range(2):
        outcome = verify(
            verifier, whole(case["token"]), scope=case["requiredScope"] or (), certificate=case["certificate"]
        )
        assert outcome == case["expected"]


@of(PROOFS)
def test_proofs(case: dict[str, Any]) -> None:
    clock = Clock()
    verifier = Verifier(
        issuer=PROOFS["issuer"],
        audience=PROOFS["audience"],
        algorithms=PROOFS["algorithms"],
        proofs=ProofRules(tuple(PROOFS["proofAlgorithms"]), PROOFS["proofMaxAgeSeconds"], PROOFS["leewaySeconds"]),
        transport=Answers(httpx.Response(200, json=PROOFS["keys"])),
        now=clock.now,
        elapsed=clock.elapsed,
    )
    for before in case["before"]:
        clock.pass_seconds(before["now"] - clock.wall)
        verifier.verify(before["token"], dpop=Dpop(before["proof"], case["method"], case["url"]))
    clock.pass_seconds(case["now"] - clock.wall)
    dpop = Dpop(case["proofs"], case["method"], case["url"])
    outcome = verify(verifier, case["token"], dpop=dpop, certificate=case["certificate"])
    outcome.pop("claims", None)
    assert outcome == case["expected"]


@of(AUTHORIZATION)
def test_authorization(case: dict[str, Any]) -> None:
    try:
        scheme, token = read_authorization(case["authorization"])
        outcome = {"result": "accepted", "scheme": scheme, "token": token}
    except VerifyError as error:
        outcome = {"result": "refused", "code": error.code}
    assert outcome == case["expected"]


def verify(verifier: Verifier, token: str, **shown: Any) -> dict[str, Any]:
    try:
        claims = verifier.verify(token, **shown)
    except VerifyError as error:
        return {"result": "refused", "code": error.code}
    return {"result": "accepted", "claims": plain(claims.all)}


@of(REQUESTS)
def test_signed_requests(case: dict[str, Any]) -> None:
    clock = Clock()
    verifier = RequestVerifier(
        [SignatureKey.from_jwk(jwk) for jwk in REQUESTS["keys"]["keys"]],
        tag=REQUESTS["tag"],
        age_seconds_max=REQUESTS["maxAgeSeconds"],
        leeway_seconds=REQUESTS["leewaySeconds"],
        now=clock.now,
        elapsed=clock.elapsed,
    )
    for before in case["before"]:
        clock.pass_seconds(before["now"] - clock.wall)
        verifier.verify(**parts(before["request"]))
    clock.pass_seconds(case["now"] - clock.wall)
    try:
        keyid = verifier.verify(**parts(case["request"]), bound_to=case["boundTo"])
        outcome = {"result": "accepted", "keyid": keyid}
    except VerifyError as error:
        outcome = {"result": "refused", "code": error.code}
    assert outcome == case["expected"]


def parts(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "body": request["body"].encode()}
