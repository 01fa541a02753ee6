"""The issuer's keys under a hostile or absent service, with a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import gzip
import http.server
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support import AUDIENCE, ISSUER, Answers, Clock, Key, Server, key_set

from mintmark import Verifier, VerifyError
from mintmark.jwk import read_public_key

DAY = 86_400


#: Whatever is wrong with an answer, its keys are not taken, however good they look.
EVIL = Key("evil")


def with_evil_keys(status: int = 200, more: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, text=f'{{"keys":[{json.dumps(EVIL.jwk)}{more}]}}', headers=headers)


class Relying:
    """A relying service that fetches from a service that is made up."""

    def __init__(self, answer: Any, **settings: Any) -> None:
        self.clock = Clock()
        self.answers = Answers(answer)
        self.events: list[str] = []
        self.verifier = Verifier(
            issuer=ISSUER,
            audience=AUDIENCE,
            transport=self.answers,
            now=self.clock.now,
            elapsed=self.clock.elapsed,
            on_keys_event=lambda event, _: self.events.append(event),
            **settings,
        )

    def accepts(self, key: Key, **claims: Any) -> bool:
        return self.code(key, **claims) == "accepted"

    def code(self, key: Key, **claims: Any) -> str:
        try:
            self.verifier.verify(key.token(self.clock.wall, **claims))
        except VerifyError as error:
            return error.code
        finally:
            # What is fetched beside the traffic is waited for, so that nothing depends on time.
            for thread in threading.enumerate():
                if thread.name == "mintmark-keys":
                    thread.join()
        return "accepted"

    @property
    def fetches(self) -> int:
        return len(self.answers.requests)


def test_the_fetch_names_the_relying_service_and_follows_nothing() -> None:
    key = Key("a")
    relying = Relying(key_set(key), name="orders")
    assert relying.accepts(key)
    (request,) = relying.answers.requests
    assert str(request.url) == f"{ISSUER}/.well-known/jwks.json"
    assert request.headers["mintmark-verifier"] == "orders"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "hostile",
    [
        with_evil_keys(500),
        with_evil_keys(203),
        with_evil_keys(302, location="https://attacker.example/keys"),
        with_evil_keys(more=" " * 300_000),
        with_evil_keys(more=",{}" * 100),
        httpx.Response(
            200,
            content=gzip.compress(with_evil_keys().content),
            headers={"content-encoding": "gzip"},
        ),
        httpx.Response(500, text="oops"),
        httpx.Response(404, text="not here"),
        httpx.Response(302, headers={"location": "https://attacker.example/keys"}),
        httpx.Response(204),
        httpx.Response(200, text="<html>maintenance</html>"),
        httpx.Response(200, json={}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"keys": {}}),
        httpx.Response(200, json={"keys": [{}] * 101}),
        httpx.Response(200, text='{"keys":[], "keys":[]}'),
        httpx.Response(200, text='{"keys":' + "[" * 50_000 + "]" * 50_000 + "}"),
        httpx.Response(200, text='{"keys":[' + " " * 300_000 + "]}"),
        httpx.Response(200, content=b"\x1f\x8b", headers={"content-encoding": "gzip"}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        OSError("the network is gone"),
    ],
    ids=lambda answer: f"{type(answer).__name__} {getattr(answer, 'status_code', '')}",
)
def test_what_is_no_set_changes_nothing_for_a_day(hostile: Any) -> None:
    key = Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key)
    relying.answers.answer = hostile
    refused = 0
    # The service is away for a day. Tokens of its last moment live on for so long, and none is refused.
    for _ in range(24 * 2):
        relying.clock.pass_seconds(1_800)
        refused += not relying.accepts(key)
    assert refused == 0
    assert set(relying.events) == {"keys_fetch_failed"}
    assert not relying.accepts(EVIL)
    # The bound: the freshness of the set, and a day.
    relying.clock.pass_seconds(301)
    assert relying.code(key) == "keys_unavailable"
    # It comes back without a restart.
    relying.answers.answer = key_set(key)
    relying.clock.pass_seconds(31)
    assert relying.accepts(key)


def test_the_service_may_shorten_the_bound_and_not_lengthen_it() -> None:
    key = Key("a")
    relying = Relying(key_set(key, more=", stale-if-error=60"))
    assert relying.accepts(key)
    relying.answers.answer = httpx.ConnectError("away")
    relying.clock.pass_seconds(359)
    assert relying.accepts(key)
    relying.clock.pass_seconds(2)
    assert relying.code(key) == "keys_unavailable"
    long = Relying(key_set(key, max_age=10**9, more=", stale-if-error=999999999"))
    assert long.accepts(key)
    long.answers.answer = httpx.ConnectError("away")
    long.clock.pass_seconds(3_600 + DAY + 1)
    assert long.code(key) == "keys_unavailable"


def test_a_key_that_was_taken_out_is_refused_when_the_set_is_older_than_max_age() -> None:
    old, new = Key("old"), Key("new")
    relying = Relying(key_set(old, new))
    assert relying.accepts(old)
    relying.answers.answer = key_set(new)
    relying.clock.pass_seconds(301)
    # Also a token that was verified before, and is remembered.
    assert relying.code(old) == "key_unknown"
    assert relying.accepts(new)


def test_a_remembered_token_does_not_outlive_its_key() -> None:
    old, new = Key("old"), Key("new")
    relying = Relying(key_set(old, new))
    token = old.token(exp=relying.clock.wall + 3_000)
    for _ in range(2):
        relying.verifier.verify(token)
    relying.answers.answer = key_set(new)
    relying.clock.pass_seconds(301)
    with pytest.raises(VerifyError, match="key_unknown"):
        relying.verifier.verify(token)


def test_a_remembered_token_does_not_outlive_the_clock() -> None:
    key = Key("a")
    relying = Relying(key_set(key))
    token = key.token()
    assert relying.verifier.verify(token) is relying.verifier.verify(token)
    relying.clock.pass_seconds(310)
    with pytest.raises(VerifyError, match="token_expired"):
        relying.verifier.verify(token)
    # A clock that was set back: the token is from the future.
    relying.clock.wall -= 400
    with pytest.raises(VerifyError, match="token_not_yet_valid"):
        relying.verifier.verify(token)


def test_a_clock_that_is_set_back_keeps_no_key_for_longer() -> None:
    old, new = Key("old"), Key("new")
    relying = Relying(key_set(old, new))
    assert relying.accepts(old)
    relying.answers.answer = key_set(new)
    relying.clock.elapsed_seconds += 301
    relying.clock.wall -= 3_600
    assert relying.code(old) == "key_unknown"


def test_remembered_tokens_are_bounded_and_never_confused() -> None:
    key = Key("a")
    relying = Relying(key_set(key), remembered_tokens_max=10)
    tokens = [key.token(sub=f"client-{number}", jti=str(number)) for number in range(30)]
    for _ in range(2):
        for number, token in enumerate(tokens):
            assert relying.verifier.verify(token).subject == f"client-{number}"
    assert len(relying.verifier._remembered) == 10


def test_a_thousand_unknown_kids_cost_one_fetch_in_a_cooldown() -> None:
    key = Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key)
    strangers = [Key(f"stranger-{number}") for number in range(20)]
    relying.clock.pass_seconds(31)
    for _ in range(50):
        assert {relying.code(stranger) for stranger in strangers} == {"key_unknown"}
    assert relying.fetches == 2


def test_and_as_few_while_every_fetch_fails() -> None:
    key = Key("a")
    relying = Relying(httpx.ConnectError("away"))
    assert [relying.code(Key(str(number))) for number in range(50)] == ["keys_unavailable"] * 50
    assert relying.fetches == 1
    relying.clock.pass_seconds(31)
    relying.answers.answer = key_set(key)
    assert relying.accepts(key)
    # Old keys, a service that is away, and strangers: one a cooldown, too.
    relying.answers.answer = httpx.ConnectError("away")
    relying.clock.pass_seconds(1_000)
    for _ in range(50):
        assert relying.accepts(key)
        assert relying.code(Key("stranger")) == "keys_unavailable"
    assert relying.fetches == 3


def test_a_new_key_is_fetched_when_its_first_token_comes() -> None:
    old, new = Key("old"), Key("new")
    relying = Relying(key_set(old))
    assert relying.accepts(old)
    relying.answers.answer = key_set(old, new)
    relying.clock.pass_seconds(31)
    assert relying.accepts(new)


def test_a_set_is_renewed_early_beside_the_traffic() -> None:
    key = Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key)
    relying.clock.pass_seconds(250)
    # Nobody waits for it: the old set has the answer.
    assert relying.verifier.keys.find_now("a") is not None
    assert relying.accepts(key)
    assert relying.fetches == 2
    assert relying.events == []
    relying.clock.pass_seconds(60)
    assert relying.accepts(key)
    assert relying.fetches == 2


def test_a_short_max_age_is_obeyed_although_the_cooldown_is_longer() -> None:
    old, new = Key("old"), Key("new")
    relying = Relying(key_set(old, new, max_age=5))
    assert relying.accepts(old)
    relying.answers.answer = key_set(new, max_age=5)
    relying.clock.pass_seconds(5)
    assert relying.code(old) == "key_unknown"


def test_a_kid_whose_key_changes_keeps_the_old_one_and_says_so() -> None:
    key, other = Key("a"), Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key)
    relying.answers.answer = key_set(other)
    relying.clock.pass_seconds(301)
    assert relying.accepts(key)
    assert relying.code(other) == "signature_wrong"
    assert relying.events.count("key_changed") == 1


def test_after_the_bound_a_kid_may_have_another_key() -> None:
    key, other = Key("a"), Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key)
    relying.answers.answer = key_set(other)
    relying.clock.pass_seconds(DAY + 301)
    assert relying.accepts(other)


def test_a_fetch_that_hangs_holds_up_nobody_for_long() -> None:
    key = Key("a")
    hanging, leave = threading.Event(), threading.Event()

    def hang(_: httpx.Request) -> httpx.Response:
        hanging.set()
        leave.wait(60)
        return key_set(key)

    relying = Relying(key_set(key))
    relying.verifier.verify(key.token(exp=relying.clock.wall + 3_000))
    # Only now, or a slow machine would give up the first fetch.
    relying.verifier.keys._timeout_seconds = 0.05
    relying.answers.answer = hang
    relying.clock.pass_seconds(301)
    token = key.token(exp=relying.clock.wall + 3_000)
    first = threading.Thread(target=relying.verifier.verify, args=(token,))
    first.start()
    hanging.wait(30)
    # The others wait a little, and go on with the last good set.
    for _ in range(3):
        assert relying.verifier.verify(token).subject == "billing"
    leave.set()
    first.join()


def test_five_hundred_at_once_on_a_cold_cache_cost_one_fetch() -> None:
    key = Key("a")
    arrived = threading.Barrier(2, timeout=30)
    leave = threading.Event()

    def slowly(_: httpx.Request) -> httpx.Response:
        arrived.wait()
        leave.wait(30)
        return key_set(key)

    relying = Relying(slowly)
    token = key.token()
    with ThreadPoolExecutor(64) as pool:
        waiting = [pool.submit(relying.verifier.verify, token) for _ in range(500)]
        arrived.wait()
        leave.set()
        assert {each.result().subject for each in waiting} == {"billing"}
    assert relying.fetches == 1


@pytest.mark.parametrize(
    "body",
    [b"x" * (256 * 1024 + 1), None],
    ids=["too large", "one byte at a time"],
)
def test_a_real_answer_without_an_end_is_given_up(body: bytes | None) -> None:
    done = threading.Event()

    def handle(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-length", "200000000")
        request.end_headers()
        try:
            if body is not None:
                request.wfile.write(body)
            while not done.wait(0.02):
                request.wfile.write(b" ")
                request.wfile.flush()
        except OSError:
            pass

    with Server(handle) as server:
        verifier = Verifier(issuer=server.url, audience=AUDIENCE, fetch_timeout_seconds=0.3)
        # It ends, although the answer does not.
        with pytest.raises(VerifyError, match="keys_unavailable"):
            verifier.verify(Key("a").token())
        done.set()


@pytest.mark.parametrize("kid", [5, None, ["a"], ""])
def test_a_key_whose_name_is_no_text_is_ignored(kid: Any) -> None:
    key = Key("a")
    listed = [{**Key("b").jwk, "kid": kid}, key.jwk]
    relying = Relying(httpx.Response(200, json={"keys": listed}))
    assert relying.accepts(key)


def test_a_hook_that_fails_costs_nothing() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a hook")

    key = Key("a")
    answers = Answers(httpx.ConnectError("away"))
    verifier = Verifier(
        issuer=ISSUER, audience=AUDIENCE, transport=answers, on_keys_event=fail, on_outcome=fail, cooldown_seconds=0
    )
    token = key.token(time.time())
    with pytest.raises(VerifyError, match="keys_unavailable"):
        verifier.verify(token)
    answers.answer = key_set(key)
    assert verifier.verify(token).subject == "billing"


def test_a_loop_of_events_fetches_in_a_thread_alone() -> None:
    fetchers: list[threading.Thread] = []

    def answer(_: httpx.Request) -> httpx.Response:
        fetchers.append(threading.current_thread())
        return key_set(Key("a"))

    # Without a cooldown each look for a key is a fetch.
    relying = Relying(answer, cooldown_seconds=0)

    async def verify() -> None:
        with pytest.raises(VerifyError, match="key_unknown"):
            await relying.verifier.verify_async(Key("unknown").token())

    asyncio.run(verify())
    assert len(fetchers) == 1
    assert fetchers[0] is not threading.main_thread()


def test_a_set_is_as_old_as_its_request() -> None:
    key = Key("a")

    def slowly(_: httpx.Request) -> httpx.Response:
        relying.clock.pass_seconds(200)
        return key_set(key)

    relying = Relying(slowly)
    assert relying.accepts(key)
    relying.answers.answer = key_set(Key("b"))
    relying.clock.pass_seconds(101)
    assert relying.code(key) == "key_unknown"


def test_long_tokens_are_not_remembered() -> None:
    key = Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key, more="x" * 4_000)
    assert len(relying.verifier._remembered) == 0
    assert relying.accepts(key)
    assert len(relying.verifier._remembered) == 1


def test_a_key_with_a_long_exponent_is_not_taken() -> None:
    numbers = rsa.generate_private_key(65_537, 2_048).public_key().public_numbers()
    for exponent, is_taken in ((65_537, True), (2**64 - 1, True), (2**64 + 1, False), (2**1024 + 1, False)):
        public = rsa.RSAPublicNumbers(exponent, numbers.n).public_key()
        jwk = {**jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True), "alg": "PS256"}
        del jwk["key_ops"]
        if is_taken:
            assert read_public_key(jwk).algorithm == "PS256"
        else:
            with pytest.raises(ValueError, match="exponent"):
                read_public_key(jwk)


def test_who_begins_a_fetch_that_hangs_waits_no_longer_than_the_others() -> None:
    leave, left = threading.Event(), threading.Event()

    def hang(_: httpx.Request) -> httpx.Response:
        leave.wait(10)
        left.set()
        return key_set(Key("a"))

    relying = Relying(hang)
    relying.verifier.keys._timeout_seconds = 0.01
    with pytest.raises(VerifyError, match="keys_unavailable"):
        relying.verifier.verify(Key("a").token())
    assert not left.is_set()
    leave.set()


def test_where_no_thread_can_be_started_the_fetch_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    key = Key("a")
    relying = Relying(key_set(key))
    assert relying.accepts(key)
    relying.clock.pass_seconds(250)
    assert relying.accepts(key)
    assert relying.fetches == 2


@pytest.mark.parametrize("name", ["", " ", " orders", "orders ", "a\nb", "ä", "x" * 201])
def test_a_name_that_no_header_can_have_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Relying(key_set(Key("a")), name=name)
