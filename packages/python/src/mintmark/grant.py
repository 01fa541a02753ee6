"""The grant without a network: what is asked, what the answers mean, when to try again. Sync and async share it."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from .credentials import ClientCertificate, Credential
from .dpop import DpopKey
from .keyset import elapsed_seconds

#: Requests for one token, the first included.
_ATTEMPTS_MAX: Final = 3
#: Seconds that an attempt waits at most for the next. Whoever is told to wait for longer tells the caller.
_WAIT_SECONDS_MAX: Final = 10.0
#: Seconds after which the metadata is asked again where the token endpoint is, and after a failure.
_ENDPOINT_SECONDS: Final = 3_600.0
_ENDPOINT_RETRY_SECONDS: Final = 60.0
#: No answer can switch a client off for longer.
_RETRY_AFTER_SECONDS_MAX: Final = 3_600.0
_PASSING: Final = frozenset((429, 500, 502, 503, 504))
#: What a token is taken to live for if the answer does not say.
_LIFETIME_SECONDS: Final = 60.0
_LIFETIME_SECONDS_MAX: Final = 86_400.0
#: Bytes of an answer. A token is under 2 KiB.
_ANSWER_BYTES_MAX: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")

#: A request, or seconds to wait, goes out. A response or a fault comes back.
Flow = Generator["httpx.Request | float", "httpx.Response | httpx.TransportError | None", "Granted"]
_Step = Generator["httpx.Request | float", "httpx.Response | httpx.TransportError | None", "httpx.Response"]


class TokenError(Exception):
    """No token. `code` is that of the token endpoint (RFC 6749 section 5.2), or `unavailable`, or `answer_invalid`."""

    def __init__(self, code: str, description: str, *, retry_after: float = 0, request_id: str | None = None) -> None:
        found_by = "" if request_id is None else f" (x-request-id {request_id})"
        super().__init__(f"{code}: {description}{found_by}")
        self.code = code
        self.description = description
        self.retry_after = retry_after
        #: With it the operator finds the reason in the ledger.
        self.request_id = request_id

    @property
    def is_passing(self) -> bool:
        """Whether it is worth to try again later."""
        return self.code == "unavailable"


@dataclass(frozen=True)
class Granted:
    token: str
    lifetime_seconds: float


class Grant:
    """How one client asks one service for tokens."""

    def __init__(
        self,
        issuer: str,
        credential: Credential,
        *,
        token_endpoint: str | None = None,
        dpop: DpopKey | None = None,
        allow_insecure_http: bool = False,
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self._issuer = issuer
        self._credential = credential
        self._endpoint = token_endpoint
        self._endpoint_until = float("inf")
        self._dpop = dpop
        self._nonce: str | None = None
        self._elapsed = elapsed
        #: The service does not want to be asked before, for whatever token.
        self._rests_until = float("-inf")
        self._allow_insecure_http = allow_insecure_http
        for url in filter(None, (issuer, token_endpoint)):
            require_safe(url, allow_insecure_http)

    def ask(self, audience: str, scopes: tuple[str, ...]) -> Flow:
        """Ask for a token. The caller of this generator does what it yields: it sends a request, or waits."""
        if self._endpoint is None:
            self._endpoint = yield from self._discover(_ATTEMPTS_MAX)
            self._endpoint_until = self._elapsed() + _ENDPOINT_SECONDS
        elif self._elapsed() >= self._endpoint_until:
            # Others use the one that is known meanwhile, and so does this one if there is no other to be had.
            self._endpoint_until = self._elapsed() + _ENDPOINT_RETRY_SECONDS
            with contextlib.suppress(TokenError, ValueError):
                self._endpoint = yield from self._discover(1)
                self._endpoint_until = self._elapsed() + _ENDPOINT_SECONDS
        parameters = {"grant_type": "client_credentials"}
        # RFC 8707 takes URIs only. A plain name goes into the other one.
        parameters["resource" if urlsplit(audience).scheme else "audience"] = audience
        if scopes:
            parameters["scope"] = " ".join(scopes)
        endpoint = self._endpoint
        response = yield from self._attempts(lambda: self._token_request(endpoint, parameters))
        if self._asks_for_nonce(response):
            response = yield from self._attempts(lambda: self._token_request(endpoint, parameters))
        return self._read(response)

    def _discover(self, attempts_max: int) -> Generator[Any, Any, str]:
        """RFC 8414. The document is of this issuer, or it is somebody else's."""
        parts = urlsplit(self._issuer)
        url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
        response: httpx.Response = yield from self._attempts(
            lambda: httpx.Request("GET", url, headers={"Accept-Encoding": "identity"}), attempts_max
        )
        document = _json(response)
        if response.status_code != 200 or document.get("issuer") != self._issuer:
            raise TokenError("answer_invalid", f"{url} is not the metadata of {self._issuer}")
        endpoint = document.get("token_endpoint")
        aliases = document.get("mtls_endpoint_aliases")
        if isinstance(self._credential, ClientCertificate) and isinstance(aliases, dict):
            endpoint = aliases.get("token_endpoint", endpoint)
        if not isinstance(endpoint, str):
            raise TokenError("answer_invalid", f"{url} names no token_endpoint")
        require_safe(endpoint, self._allow_insecure_http)
        return endpoint

    def _token_request(self, endpoint: str, parameters: dict[str, str]) -> httpx.Request:
        # Anew for each attempt: an assertion or a proof counts once.
        more, headers = self._credential.prove(self._issuer)
        if self._dpop is not None:
            headers = {**headers, "DPoP": self._dpop.proof("POST", endpoint, nonce=self._nonce)}
        accept = {"Accept": "application/json", "Accept-Encoding": "identity"}
        return httpx.Request("POST", endpoint, data={**parameters, **more}, headers={**accept, **headers})

    def _attempts(self, make: Any, attempts_max: int = _ATTEMPTS_MAX) -> _Step:
        rest = self._rests_until - self._elapsed()
        if rest > _WAIT_SECONDS_MAX:
            text = f"the service wants to be asked again in {rest:.0f} seconds"
            raise TokenError("unavailable", text, retry_after=rest)
        if rest > 0:
            yield rest
        for attempt in range(1, attempts_max + 1):
            answer = yield make()
            if isinstance(answer, httpx.Response) and answer.status_code not in _PASSING:
                return answer
            told = retry_after(answer) if isinstance(answer, httpx.Response) else None
            if told is not None:
                self._rests_until = max(self._rests_until, self._elapsed() + told)
            # Full jitter, so that callers that failed together do not come back together.
            backoff = random.uniform(0, 0.25 * 4**attempt)  # noqa: S311
            wait = backoff if told is None else told + random.uniform(0, 0.5)  # noqa: S311
            if attempt == attempts_max or wait > _WAIT_SECONDS_MAX:
                raise _unavailable(answer, told)
            yield wait
        raise AssertionError

    def _asks_for_nonce(self, response: httpx.Response) -> bool:
        nonce = response.headers.get("dpop-nonce")
        if self._dpop is None or nonce is None:
            return False
        self._nonce = nonce
        return response.status_code == 400 and _json(response).get("error") == "use_dpop_nonce"

    def _read(self, response: httpx.Response) -> Granted:
        answer = _json(response)
        request_id = response.headers.get("x-request-id")
        if response.status_code != 200:
            code, description = answer.get("error"), answer.get("error_description")
            raise TokenError(
                _short(code) or "answer_invalid",
                _short(description) or f"the answer is {response.status_code}",
                request_id=_short(request_id),
            )
        token, kind = answer.get("access_token"), answer.get("token_type")
        seconds: Any = answer.get("expires_in")
        wanted = "bearer" if self._dpop is None else "dpop"
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise TokenError("answer_invalid", "no token", request_id=_short(request_id))
        if not isinstance(kind, str) or kind.lower() != wanted:
            raise TokenError("answer_invalid", f"no token of the type {wanted}", request_id=request_id)
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        lifetime = min(float(seconds), _LIFETIME_SECONDS_MAX) if is_number and seconds > 0 else _LIFETIME_SECONDS
        return Granted(token, lifetime)


def retry_after(response: httpx.Response) -> float | None:
    """The seconds of Retry-After. A date counts from the date of the answer, because our clock may be wrong."""
    value = response.headers.get("retry-after", "")
    if re.fullmatch(r"[0-9]+", value):
        # A number of thousands of digits is not read at all.
        return min(float(value[:20]), _RETRY_AFTER_SECONDS_MAX)
    try:
        until, now = (parsedate_to_datetime(text).timestamp() for text in (value, response.headers.get("date", "")))
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(until - now, 0.0), _RETRY_AFTER_SECONDS_MAX)


def require_safe(url: str, allow_insecure_http: bool) -> None:
    """Secrets and tokens are not sent in clear, except inside one machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and (allow_insecure_http or parts.hostname in ("localhost", "127.0.0.1", "::1")):
        return
    raise ValueError(f"{parts.scheme}://{parts.hostname}: https is needed, or allow_insecure_http=True")


def _unavailable(answer: httpx.Response | httpx.TransportError | None, told: float | None) -> TokenError:
    if isinstance(answer, httpx.Response):
        text = f"the answer is {answer.status_code}"
        request_id = _short(answer.headers.get("x-request-id"))
        return TokenError("unavailable", text, retry_after=told or 0, request_id=request_id)
    return TokenError("unavailable", f"{type(answer).__name__}: {answer}")


class Answer:
    """Takes an answer part by part, and no more of it than an answer can have. A compressed one could get any size."""

    def __init__(self, response: httpx.Response, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise TokenError("answer_invalid", "the answer is compressed")
        self._response = response
        self._body = b""

    def take(self, part: bytes) -> None:
        self._body += part
        # The timeout of httpx is for each part, and a part can be a byte.
        if time.monotonic() > self._deadline:
            raise httpx.ReadTimeout("the answer takes too long")
        if len(self._body) > _ANSWER_BYTES_MAX:
            raise TokenError("answer_invalid", "the answer is too large")

    @property
    def whole(self) -> httpx.Response:
        return httpx.Response(self._response.status_code, headers=self._response.headers, content=self._body)


def _short(text: object) -> str | None:
    """A text of a stranger, for messages and logs: printable, and not long."""
    return re.sub(r"[^ -~]", "?", text[:300]) if isinstance(text, str) else None


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
