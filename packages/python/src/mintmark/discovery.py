"""From a bare 401 to the token that a service wants (RFC 9728 section 5): its audience, and the scopes.

What is learned never decides who gets the credential of the client: that stays with the issuer of the token source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from .grant import TokenError, require_safe

#: Bytes of a document.
BODY_BYTES_MAX: Final = 64 * 1024
_RESOURCES_MAX: Final = 100
#: Seconds after which a service is asked again what it is.
_KEPT_SECONDS: Final = 3_600
_CHALLENGE_CHARACTERS_MAX: Final = 8 * 1024
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
#: A parameter, or the name of a scheme with or without the 68 characters of others (RFC 9110 section 11.6.1).
_PART: Final = re.compile(
    rf'[\s,]*(?:({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))'
    rf"|({_WORD})(?:[ \t]+[\w.~+/-]+=*(?=\s*(?:,|$)))?)",
    re.ASCII,
)
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")


@dataclass(frozen=True)
class Known:
    """What a service wants."""

    #: Origin and path that its URLs begin with.
    begins: str
    metadata_url: str
    audience: str
    scopes: tuple[str, ...]
    #: Of the clock that only grows.
    until: float


class Discovery:
    """What is known of the services at some origins."""

    def __init__(
        self,
        issuer: str,
        origins: Iterable[str],
        audiences: Iterable[str],
        allow_insecure_http: bool,
        elapsed: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._origins = frozenset(origins)
        self._audiences = frozenset(audiences)
        self._elapsed = elapsed
        self._known: dict[str, Known] = {}
        for origin in self._origins:
            require_safe(origin, allow_insecure_http)
            if _origin(origin) != origin:
                raise ValueError(f"origins: {origin} is not like https://orders.example.com")

    def resource_of(self, url: str) -> Known | None:
        """The resource that a URL belongs to, if it is known: the one with the longest path."""
        if _origin(url) not in self._origins:
            raise ValueError(f"Tokens are not sent to {_origin(url)}. origins says where they may be sent.")
        now = self._elapsed()
        within = [known for known in list(self._known.values()) if now < known.until and _is_within(url, known.begins)]
        return max(within, key=lambda known: len(known.begins), default=None)

    def more_scopes(self, response: httpx.Response, sent: Known | None) -> Known | None:
        """The same with the scopes that the token lacks (RFC 6750 section 3.1), if the answer names some."""
        asked = _words(challenge_parameter(response, "scope"))
        lacks = challenge_parameter(response, "error") == "insufficient_scope" and not set(asked) <= set(
            sent.scopes if sent else ()
        )
        if response.status_code != 403 or sent is None or not sent.scopes or not lacks:
            return None
        return self._keep(replace(sent, scopes=tuple(dict.fromkeys((*sent.scopes, *asked)))))

    def document_url(self, url: str, response: httpx.Response, sent: Known | None) -> str | None:
        """Where the service describes itself, if the answer says something new."""
        named = challenge_parameter(response, "resource_metadata")
        if response.status_code != 401 or named is None or (sent is not None and named == sent.metadata_url):
            return None
        # A service speaks for itself. One that names the document of another one wants the other one's token.
        if _origin(named) != _origin(url):
            raise _distrusted(f"{_origin(url)} names {_shown(named)}, which is at another origin")
        return named

    def learn(self, url: str, refused: httpx.Response, metadata_url: str, answer: httpx.Response, body: bytes) -> Known:
        """What the document says, as far as it is believed."""
        document: Any = None
        # Not after a redirect, which the client may follow.
        if answer.status_code == 200 and answer.url == httpx.URL(metadata_url) and len(body) <= BODY_BYTES_MAX:
            try:
                document = json.loads(body)
            except (ValueError, RecursionError):
                document = None
        if not isinstance(document, dict):
            raise TokenError("answer_invalid", f"{_shown(metadata_url)} has no metadata of a resource")
        servers, resource = document.get("authorization_servers"), document.get("resource")
        if not isinstance(servers, list) or self._issuer not in servers:
            raise _distrusted(f"{_shown(metadata_url)} does not name {self._issuer} as an authorization server")
        if not isinstance(resource, str):
            raise _distrusted(f"{_shown(metadata_url)} names no resource")
        begins = resource
        if resource in self._audiences:
            begins = f"{_origin(url)}/"
        # RFC 9728 section 3.3: otherwise any service could have tokens for another one sent to itself.
        elif not _is_within(url, resource):
            raise _distrusted(f"{_shown(metadata_url)} is for {_shown(resource)}, and not for {_origin(url)}")
        scopes = _words(challenge_parameter(refused, "scope"))
        return self._keep(Known(begins, metadata_url, resource, scopes, self._elapsed() + _KEPT_SECONDS))

    def _keep(self, known: Known) -> Known:
        self._known.pop(known.begins, None)
        self._known[known.begins] = known
        for oldest in list(self._known)[:-_RESOURCES_MAX]:
            del self._known[oldest]
        return known


def challenge_parameter(response: httpx.Response, name: str) -> str | None:
    """A parameter of the first challenge that asks for an access token and has it."""
    text = response.headers.get("www-authenticate", "")
    found: list[tuple[str, dict[str, str]]] = []
    place = 0
    while len(text) <= _CHALLENGE_CHARACTERS_MAX and (part := _PART.match(text, place)) is not None:
        place = part.end()
        key, quoted, plain, scheme = part.groups()
        if scheme is not None:
            found.append((scheme.lower(), {}))
        elif found:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(key.lower(), value)
    return next((its[name] for scheme, its in found if scheme in ("bearer", "dpop") and name in its), None)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word for word in (text or "").split(" ") if _SCOPE.fullmatch(word))


def _origin(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return ""
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{parts.host}{port}"


def _is_within(url: str, resource: str) -> bool:
    """Whether a URL is a resource, or below it."""
    if _origin(url) != _origin(resource) or urlsplit(resource).query or urlsplit(resource).fragment:
        return False
    path, below = urlsplit(resource).path, httpx.URL(url).path
    return f"{below}/".startswith(path if path.endswith("/") else f"{path}/")


def _shown(text: str) -> str:
    """Texts of a stranger, for messages."""
    return re.sub(r"[^!-~]", "?", text[:300])


def _distrusted(what: str) -> TokenError:
    return TokenError("answer_invalid", f"{what}. No token is asked for")
