"""The verifier itself: what it does not exist without, what it answers, what it tells the hook."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support import AUDIENCE, ISSUER, NOW, Answers, Clock, Key, key_set

from mintmark import Dpop, DpopKey, Outcome, ReplayMemory, Verifier, VerifyError, certificate_thumbprint
from mintmark.compact import parse_compact
from mintmark.dpop import normal_url
from mintmark.jwk import read_public_key
from mintmark.signatures import RequestVerifier

KEY = Key("a")


def verifier(**settings: Any) -> Verifier:
    return Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(key_set(KEY)), now=lambda: NOW, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"issuer": ISSUER},
        {"audience": AUDIENCE},
        {"issuer": "", "audience": AUDIENCE},
        {"issuer": ISSUER, "audience": ""},
        {"issuer": ISSUER, "audience": None},
        {"issuer": ISSUER, "audience": [AUDIENCE]},
        {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": []},
        {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["HS256"]},
        {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["none"]},
        {"issuer": ISSUER, "audience": AUDIENCE, "token_types": []},
        {"issuer": ISSUER, "audience": AUDIENCE, "leeway_seconds": 31},
        {"issuer": ISSUER, "audience": AUDIENCE, "leeway_seconds": -1},
        {"issuer": "http://mint.example", "audience": AUDIENCE},
        {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "file:///etc/passwd"},
        {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "https://user@mint.example/keys"},
        {"issuer": ISSUER, "audience": AUDIENCE, "name": "zwei\nZeilen"},
        {"issuer": ISSUER, "audience": AUDIENCE, "name": "é"},
        {"issuer": ISSUER, "audience": AUDIENCE, "name": ""},
    ],
)
def test_it_does_not_exist_without_what_makes_it_safe(settings: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Verifier(**settings)


def test_http_is_for_this_machine_unless_somebody_says_so() -> None:
    for url in ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"):
        Verifier(issuer=url, audience=AUDIENCE)
    for url in ("http://mint.example", "http://127.0.0.1.attacker.example", "ftp://localhost"):
        with pytest.raises(ValueError, match="https"):
            Verifier(issuer=url, audience=AUDIENCE)
    Verifier(issuer="http://mint.example", audience=AUDIENCE, allow_insecure_http=True)
    with pytest.raises(ValueError, match="https"):
        Verifier(issuer="ftp://mint.example", audience=AUDIENCE, allow_insecure_http=True)


def test_its_name_fits_into_a_header_whatever_the_audience() -> None:
    answers = Answers(key_set(KEY))
    one = Verifier(issuer=ISSUER, audience="urn:órders\n", transport=answers, now=lambda: NOW)
    assert one.verify(KEY.token(aud="urn:órders\n")).subject == "billing"
    assert answers.requests[0].headers["mintmark-verifier"] == "urn:_rders_"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://[::1]:443/a", "https://[::1]/a"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
        ("https://orders.example:/a", "https://orders.example/a"),
        ("https://orders.example/../../a", "https://orders.example/a"),
        ("https://orders.example/a/b/..", "https://orders.example/a/"),
        ("https://orders.example/a/.", "https://orders.example/a/"),
        ("https://orders.example//a", "https://orders.example//a"),
        ("ftp://orders.example/a", None),
        ("https:///a", None),
        ("https://orders.example:x/a", None),
        ("https://[::1/a", None),
        ("//orders.example/a", None),
        ("a", None),
    ],
)
def test_urls_are_compared_in_their_normal_form(url: str, normal: str | None) -> None:
    assert normal_url(url) == normal


def test_what_it_answers() -> None:
    metadata = "https://orders.example/.well-known/oauth-protected-resource"
    one = verifier(resource_metadata=metadata)
    with pytest.raises(VerifyError) as scope:
        one.verify(KEY.token(), scope="orders:write")
    assert (scope.value.status, scope.value.code) == (403, "scope_insufficient")
    assert scope.value.www_authenticate == (
        'Bearer error="insufficient_scope", error_description="The access token lacks a scope.", '
        f'scope="orders:write", resource_metadata="{metadata}"'
    )
    missing = one.refused("token_missing", scopes=["orders:read"])
    assert missing.www_authenticate == f'Bearer scope="orders:read", resource_metadata="{metadata}"'
    with pytest.raises(VerifyError) as expired:
        one.verify(KEY.token(NOW - 1_000))
    assert expired.value.www_authenticate.startswith('Bearer error="invalid_token", error_description=')
    proof = verifier().refused("proof_missing")
    assert proof.www_authenticate.startswith('DPoP error="invalid_token"')
    assert 'algs="ES256 EdDSA PS256"' in proof.www_authenticate


def test_the_document_that_shows_the_way() -> None:
    document = verifier().protected_resource(["orders:read"])
    assert (document["resource"], document["authorization_servers"]) == (AUDIENCE, [ISSUER])
    assert document["scopes_supported"] == ["orders:read"]


def test_an_unavailable_service_is_not_the_callers_fault() -> None:
    away = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(OSError("away")))
    with pytest.raises(VerifyError) as error:
        away.verify(KEY.token())
    assert (error.value.status, error.value.www_authenticate) == (503, "")
    assert 1 <= int(error.value.headers["Retry-After"]) <= 31


def test_no_refusal_shows_the_token() -> None:
    for token in (KEY.token(aud="https://other.example"), KEY.token()[:-4] + "AAAA", KEY.token() + "="):
        with pytest.raises(VerifyError) as error:
            verifier().verify(token)
        said = f"{error.value} {error.value.www_authenticate} {error.value.body} {error.value.detail}"
        assert token[:40] not in said


def test_the_hook_hears_of_every_call() -> None:
    heard: list[Outcome] = []
    one = verifier(on_outcome=heard.append)
    one.verify(KEY.token(), path="/orders")
    with pytest.raises(VerifyError):
        one.verify(KEY.token(), path="/orders", scope="orders:write")
    with pytest.raises(VerifyError):
        one.verify("x", path="/orders")
    assert [(each.code, each.issuer, each.subject, each.path, each.token_id) for each in heard] == [
        ("accepted", ISSUER, "billing", "/orders", "token-1"),
        ("scope_insufficient", ISSUER, "billing", "/orders", "token-1"),
        ("token_malformed", ISSUER, None, "/orders", None),
    ]


def test_claims_cannot_be_changed() -> None:
    claims = verifier().verify(KEY.token(act={"sub": "x"}, roles=["a"]))
    with pytest.raises(TypeError):
        claims.all["act"]["sub"] = "admin"
    with pytest.raises(AttributeError):
        claims.all["roles"].append("admin")
    with pytest.raises(AttributeError):
        claims.subject = "admin"  # type: ignore[misc]


@pytest.mark.parametrize("token", [None, 7, b"a.b.c", "", "\ud800.a.b", ["a.b.c"]])
def test_what_is_no_text_is_refused_like_the_rest(token: Any) -> None:
    for one in (verifier(), verifier(token_types="JWT")):
        with pytest.raises(VerifyError, match="token_malformed"):
            one.verify(token)


def test_brackets_count_outside_of_texts_alone() -> None:
    one = verifier()
    # Quotes and backslashes that are escaped, and enough brackets for somebody to look closely.
    for text in ('"' + "[" * 50, "\\" * 3 + "{" * 50, "\\" + '"' + "[" * 50, "[" * 50 + "\\"):
        assert one.verify(KEY.token(note=text, other=text)).all["note"] == text
    # As deep as may be, beside others.
    allowed: Any = 1
    for _ in range(15):
        allowed = [allowed]
    assert one.verify(KEY.token(deep=allowed, more=[[], {}, []])).subject == "billing"
    deep: Any = "\\"
    for _ in range(16):
        deep = [deep]
    with pytest.raises(VerifyError, match="nests too deep"):
        one.verify(KEY.token(note='"\\', deep=deep))


@pytest.mark.parametrize("junk", ["junk", b"junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "é"])
def test_what_is_no_certificate_is_another_one(junk: Any) -> None:
    with pytest.raises(VerifyError, match="certificate_wrong"):
        verifier().verify(KEY.token(cnf={"x5t#S256": "A" * 43}), certificate=junk)
    # Two in one text: nobody can say which is meant.
    with pytest.raises(ValueError, match="exactly one"):
        certificate_thumbprint("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" * 2)


def test_all_algorithms_may_be_accepted() -> None:
    every = ("ES256", "EdDSA", "Ed25519", "PS256", "RS256")
    assert verifier(algorithms=every).verify(KEY.token()).subject == "billing"


def test_binding_can_be_required() -> None:
    key = DpopKey()
    one = verifier(require_binding=True)
    with pytest.raises(VerifyError, match="token_not_bound"):
        one.verify(KEY.token())
    token = KEY.token(cnf={"jkt": key.thumbprint})
    real = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(key_set(KEY)), require_binding=True)
    token = KEY.token(time.time(), cnf={"jkt": key.thumbprint})
    url = "https://orders.example/orders?page=1"
    proof = key.proof("GET", url, token)
    assert real.verify(token, dpop=Dpop(proof, "GET", url)).key_thumbprint == key.thumbprint
    with pytest.raises(VerifyError, match="proof_replayed"):
        real.verify(token, dpop=Dpop(proof, "GET", url))


def test_async_verifies_the_same_and_does_not_hold_up_the_loop() -> None:
    fetching, go_on = threading.Event(), threading.Event()

    def slowly(_: Any) -> Any:
        fetching.set()
        go_on.wait(30)
        return key_set(KEY)

    one = Verifier(issuer=ISSUER, audience=AUDIENCE, transport=Answers(slowly), now=lambda: NOW)

    async def both() -> None:
        verifying = asyncio.create_task(one.verify_async(KEY.token()))
        # The loop runs while the keys are fetched, or this would never be reached.
        await asyncio.to_thread(fetching.wait, 30)
        go_on.set()
        assert (await verifying).subject == "billing"
        assert (await one.verify_async(KEY.token())).subject == "billing"
        with pytest.raises(VerifyError, match="token_malformed"):
            await one.verify_async("x")

    asyncio.run(both())


def test_the_memory_of_identifiers_is_bounded_and_does_not_forget_early() -> None:
    clock = Clock()
    memory = ReplayMemory(entries_max=100, seconds=60, elapsed=clock.elapsed)
    assert all(memory.claim("jti", str(number), seconds=60) for number in range(100))
    with pytest.raises(VerifyError, match="replay_memory_full"):
        memory.claim("jti", "one more", seconds=60)
    clock.pass_seconds(59)
    assert not memory.claim("jti", "7", seconds=60)
    # Two parts are not one.
    clock.pass_seconds(200)
    assert memory.claim("a", "bc", seconds=60)
    assert memory.claim("ab", "c", seconds=60)
    assert len(memory) == 2
    with pytest.raises(ValueError, match="60"):
        memory.claim("jti", "x", seconds=61)


WYCHEPROOF = os.environ.get("MINTMARK_WYCHEPROOF", "")


@pytest.mark.skipif(WYCHEPROOF == "", reason="MINTMARK_WYCHEPROOF names no directory with Wycheproof's JOSE vectors")
def test_wycheproof_no_signature_is_accepted_that_is_not_valid() -> None:
    """Each vector is verified with its key, as an access token's signature would be."""
    tried = accepted = 0
    false_accepts = []
    for group in json.loads((Path(WYCHEPROOF) / "json_web_signature.json").read_text())["testGroups"]:
        jwk = group.get("public") or group.get("private") or {}
        for test in group["tests"]:
            tried += 1
            if not verifies(test["jws"], jwk):
                continue
            accepted += 1
            if test["result"] != "valid":
                false_accepts.append(test["tcId"])
    assert tried > 300
    assert accepted > 5
    assert false_accepts == []


def verifies(jws: Any, jwk: dict[str, Any]) -> bool:
    try:
        compact = parse_compact(jws, characters_max=100_000)
        key = read_public_key(jwk)
    except (VerifyError, ValueError):
        return False
    if compact.header.get("alg") != key.algorithm or "crit" in compact.header or "b64" in compact.header:
        return False
    return key.verifies(compact.signing_input, compact.signature)


def test_a_memory_of_identifiers_that_is_still_empty_is_used() -> None:
    key = DpopKey()
    token = KEY.token(cnf={"jkt": key.thumbprint})
    shared = ReplayMemory()
    one, other = (verifier(replays=shared) for _ in range(2))
    url = f"{AUDIENCE}/orders"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mintmark.dpop.time.time", lambda: NOW)
        dpop = Dpop(key.proof("GET", url, token), "GET", url)
    assert one.verify(token, dpop=dpop).subject == "billing"
    assert len(shared) == 1
    with pytest.raises(VerifyError, match="proof_replayed"):
        other.verify(token, dpop=dpop)
    assert RequestVerifier(replays=ReplayMemory(entries_max=7))._replays._entries_max == 7  # type: ignore[attr-defined]
