"""The issuer's keys: fetched once for everybody, kept through faults, forgotten in time.

A relying service goes on while the token service is away. So an error, an empty set, a page, a redirect or a huge body
changes nothing: the last good set stays, up to a bound. A key that was taken out of the set is forgotten when the set
is older than its `max-age`.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, Final

import httpx

from .compact import parse_object
from .errors import VerifyError
from .forks import prepare_for_forks
from .jwk import PublicKey, read_public_key

_log: Final = logging.getLogger("mintmark")

#: Bytes of a set. One key takes 200; an RSA key 500.
SET_BYTES_MAX: Final = 256 * 1024
SET_KEYS_MAX: Final = 100
#: Seconds that a set counts as fresh if the answer names none, and at most.
MAX_AGE_SECONDS: Final = 300
MAX_AGE_SECONDS_MAX: Final = 3_600
#: Seconds that the last good set is used after that, while no other can be had. The answer may name fewer.
STALE_SECONDS_MAX: Final = 86_400
#: The share of its freshness after which a set is renewed beside the traffic, so that nobody waits for it.
_RENEW_AFTER: Final = 0.8


def elapsed_seconds() -> float:
    """Seconds that only grow. They count while the machine sleeps too, or a key would outlive its bound by a night."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


@dataclass(frozen=True)
class KeySet:
    """One good answer. Moments are of the clock that only grows."""

    keys: dict[str, PublicKey]
    fresh_seconds: float
    renew_at: float
    fresh_until: float
    usable_until: float


class KeySource:
    """Finds the key of a token. All threads share one; at most one fetch is in flight."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        cooldown_seconds: float = 30,
        stale_seconds_max: float = STALE_SECONDS_MAX,
        timeout_seconds: float = 5,
        tls: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
        elapsed: Callable[[], float] = elapsed_seconds,
        on_event: Callable[[str, str], None] | None = None,
    ) -> None:
        self._url = url
        self._headers = {
            "Accept": "application/jwk-set+json, application/json",
            # A compressed body could become any size.
            "Accept-Encoding": "identity",
            "Mintmark-Verifier": name,
        }
        self._cooldown_seconds = cooldown_seconds
        self._stale_seconds_max = stale_seconds_max
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._transport = transport
        self._elapsed = elapsed
        self._on_event = on_event
        self._lock = threading.Lock()
        self._set: KeySet | None = None
        self._attempted_at = float("-inf")
        self._failing = False
        self._in_flight: Future[None] | None = None
        prepare_for_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = None

    def find(self, kid: str) -> PublicKey:
        """The key of this name, after a fetch if there has to be one."""
        key = self.find_now(kid)
        if key is not None:
            return key
        self._fetch_or_wait()
        return self.find_fetched(kid)

    def find_fetched(self, kid: str) -> PublicKey:
        """The key of this name as it came with the last fetch. It never waits, so it is for a loop of events."""
        key = self._usable(kid)
        if key is not None:
            return key
        now = self._elapsed()
        if self._set is not None and now < self._set.fresh_until:
            raise VerifyError("key_unknown")
        # The key may be in a set that could not be fetched: that is not the caller's fault.
        wait = max(1, round(self._attempted_at + self._cooldown_seconds - now))
        raise VerifyError("keys_unavailable", retry_after=wait)

    def find_now(self, kid: str) -> PublicKey | None:
        """The key of this name if no fetch has to be waited for, else None."""
        now = self._elapsed()
        known = self._set
        if known is None:
            return None
        key = known.keys.get(kid)
        if key is None or now >= known.usable_until:
            return None
        if now < known.renew_at:
            return key
        if now >= known.fresh_until and not self._failing:
            return None
        # Early, or the service is away: nobody waits.
        self._fetch_aside()
        return key

    def is_current(self, key: PublicKey) -> bool:
        """Whether a key that verified a token would verify it now, without a fetch."""
        return self.find_now(key.kid) is key

    def _usable(self, kid: str) -> PublicKey | None:
        known = self._set
        return known.keys.get(kid) if known is not None and self._elapsed() < known.usable_until else None

    def _fetch_or_wait(self) -> None:
        """A thread of its own fetches, and all that need it wait for that. Nobody fetches in the cooldown."""
        future = self._fetch_aside()
        if future is None:
            return
        try:
            # httpx bounds the time for each read, and an answer can come byte by byte.
            future.result(timeout=self._timeout_seconds * 3)
        except FutureTimeout:
            # The last good set is used, as after a failure.
            self._failing = True
            self._ended(future)

    def _fetch_aside(self) -> Future[None] | None:
        leads, future = self._turn()
        if leads and future is not None:
            try:
                threading.Thread(target=self._fetch, args=(future,), name="mintmark-keys", daemon=True).start()
            except RuntimeError:
                # There are too many threads, or the process ends.
                self._fetch(future)
        return future

    def _turn(self) -> tuple[bool, Future[None] | None]:
        with self._lock:
            if self._in_flight is not None:
                return False, self._in_flight
            now = self._elapsed()
            cooldown = self._cooldown_seconds
            if self._set is not None and not self._failing:
                # A set that is fresh for less than the cooldown would be old before it may be fetched again.
                cooldown = min(cooldown, self._set.fresh_seconds)
            # Failures count too: a service that is away must not get a request for every token.
            if now < self._attempted_at + cooldown:
                return False, None
            self._attempted_at = now
            self._in_flight = Future()
            return True, self._in_flight

    def _ended(self, future: Future[None]) -> None:
        with self._lock:
            if self._in_flight is future:
                self._in_flight = None

    def _fetch(self, future: Future[None]) -> None:
        try:
            # From before the fetch: an answer that was long on its way is that old.
            since = self._elapsed()
            self._set = self._adopt(*self._get(), since)
            self._failing = False
        except Exception as error:  # Whatever it is, the last good set stays.
            # One that was given up says nothing of those after it.
            self._failing = self._failing or self._in_flight is future
            self._tell("keys_fetch_failed", f"{type(error).__name__}: {error}")
        finally:
            self._ended(future)
            future.set_result(None)

    def _get(self) -> tuple[bytes, httpx.Headers]:
        deadline = time.monotonic() + self._timeout_seconds
        with (
            httpx.Client(
                verify=self._tls if self._tls is not None else True,
                transport=self._transport,
                timeout=self._timeout_seconds,
                # Whoever can redirect could name another set.
                follow_redirects=False,
            ) as client,
            client.stream("GET", self._url, headers=self._headers) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"the answer is {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise ValueError("the answer is compressed")
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > SET_BYTES_MAX:
                    raise ValueError("the answer is too large")
                if time.monotonic() > deadline:
                    raise ValueError("the answer takes too long")
            return body, response.headers

    def _adopt(self, body: bytes, headers: httpx.Headers, now: float) -> KeySet:
        keys = self._read(body)
        # Tokens of keys that are older than the bound are over.
        known = {} if self._set is None or now >= self._set.usable_until else self._set.keys
        for kid, key in keys.items():
            old = known.get(kid)
            if old is None:
                continue
            if old.thumbprint == key.thumbprint and old.algorithm == key.algorithm:
                # The same object, so that tokens that were verified with it stay remembered.
                keys[kid] = old
            else:
                # Tokens of the old key live on, and a name that changes its key is a fault or worse.
                keys[kid] = old
                self._tell("key_changed", f"the key {kid!r} has changed; the old one is kept")
        control = headers.get("cache-control", "")
        age = _seconds(headers.get("age", ""), r"(\d+)", 0)
        max_age = min(_seconds(control, r"max-age=(\d+)", MAX_AGE_SECONDS), MAX_AGE_SECONDS_MAX)
        fresh = max(1.0, max_age - age)
        stale = min(_seconds(control, r"stale-if-error=(\d+)", STALE_SECONDS_MAX), self._stale_seconds_max)
        return KeySet(keys, fresh, now + fresh * _RENEW_AFTER, now + fresh, now + fresh + stale)

    def _read(self, body: bytes) -> dict[str, PublicKey]:
        listed: Any = parse_object(body).get("keys")
        if not isinstance(listed, list) or len(listed) > SET_KEYS_MAX:
            raise ValueError("not a JSON Web Key Set")
        keys: dict[str, PublicKey] = {}
        twice: set[str] = set()
        for jwk in listed:
            try:
                key = read_public_key(jwk)
            except ValueError:
                # Keys of kinds that nobody knows yet are no fault of the others.
                continue
            if key.kid == "":
                continue
            if key.kid in keys:
                twice.add(key.kid)
            keys[key.kid] = key
        for kid in twice:
            del keys[kid]
            self._tell("key_ambiguous", f"two keys have the name {kid!r}; neither is used")
        if not keys:
            # An empty set would refuse every token. Whoever means it stops the service.
            raise ValueError("the set has no key that can be used")
        return keys

    def _tell(self, event: str, detail: str) -> None:
        _log.warning("%s: %s", event, detail)
        if self._on_event is not None:
            try:
                self._on_event(event, detail)
            except Exception:  # A hook that fails must not cost the keys.
                _log.exception("the hook for events of keys failed")


def _seconds(text: str, expression: str, otherwise: float) -> float:
    match = re.search(rf"(?:^|[\s,]){expression}(?:$|[\s,;])", text, re.IGNORECASE)
    return otherwise if match is None or len(match[1]) > 10 else float(match[1])
