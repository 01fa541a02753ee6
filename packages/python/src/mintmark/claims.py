"""The claims of an access token (RFC 9068 section 2.2): their forms, their times, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from .errors import VerifyError

#: Seconds since 1970 that a claim may name at most: the year 5138. Milliseconds are beyond it.
_MOMENT_MAX: Final = 100_000_000_000
#: Seconds that a token may live for: the longest that the service gives. A token cannot be revoked.
LIFETIME_SECONDS_MAX: Final = 86_400
#: Controls, separators of lines, what turns a text around and what is not seen (Unicode: Cc, Zl, Zp, Bidi_Control,
#: Default_Ignorable_Code_Point, interlinear annotations). U+FE0E and U+FE0F may stay: they choose how an emoji looks.
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
#: 32 bytes in base64url. The last character carries four bits.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
#: RFC 6749 section 3.3.
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


@dataclass(frozen=True)
class Claims:
    """What a verified token says. It cannot be changed, so it can be kept and shared."""

    issuer: str
    subject: str
    client_id: str
    audience: tuple[str, ...]
    scopes: frozenset[str]
    issued_at: float
    expires_at: float
    token_id: str
    #: Of the certificate that the token is bound to: SHA-256 in base64url (RFC 8705 section 3.1).
    certificate_thumbprint: str | None
    #: Of the key that the token is bound to (RFC 9449 section 6.1).
    key_thumbprint: str | None
    #: All claims as they are in the token; lists are tuples.
    all: Mapping[str, Any] = field(repr=False)
    not_before: float | None = None

    @property
    def is_bound(self) -> bool:
        """Whether the token is worth nothing without a certificate or a key."""
        return self.certificate_thumbprint is not None or self.key_thumbprint is not None

    def has_scope(self, *scopes: str) -> bool:
        """Whether the token has every one of these scopes, compared as whole words."""
        return self.scopes.issuperset(scopes)


def read_claims(members: dict[str, Any], issuer: str, audience: str) -> Claims:
    """Read verified claims: the token is of this issuer and for this audience, and each claim has its form."""
    # The type first: a list that contains the issuer is not the issuer.
    if not isinstance(members.get("iss"), str) or members["iss"] != issuer:
        raise VerifyError("issuer_wrong")
    audiences = _audiences(members.get("aud"))
    if audience not in audiences:
        raise VerifyError("audience_wrong")
    certificate, key = _confirmation(members["cnf"]) if "cnf" in members else (None, None)
    claims = Claims(
        issuer=issuer,
        subject=_text(members, "sub"),
        client_id=_text(members, "client_id"),
        audience=audiences,
        scopes=_scopes(members["scope"]) if "scope" in members else frozenset(),
        issued_at=_moment(members, "iat"),
        expires_at=_moment(members, "exp"),
        not_before=_moment(members, "nbf") if "nbf" in members else None,
        token_id=_text(members, "jti"),
        certificate_thumbprint=certificate,
        key_thumbprint=key,
        all=_frozen(members),
    )
    if not 0 < claims.expires_at - claims.issued_at <= LIFETIME_SECONDS_MAX:
        raise VerifyError("claim_invalid", "exp is not after iat, or more than a day after it")
    return claims


def check_times(claims: Claims, now: float, leeway: float) -> None:
    """Check a token against the clock. It is done again for tokens that are remembered."""
    if now >= claims.expires_at + leeway:
        raise VerifyError("token_expired")
    if claims.issued_at > now + leeway or (claims.not_before or 0) > now + leeway:
        raise VerifyError("token_not_yet_valid")


def _audiences(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise VerifyError("audience_wrong", "aud is neither a text nor a list of texts")
    return tuple(value)


def _required(members: dict[str, Any], name: str) -> Any:
    if name not in members:
        raise VerifyError("claim_missing", name)
    return members[name]


def _text(members: dict[str, Any], name: str) -> str:
    value = _required(members, name)
    # One of these makes a name look like another, or writes a second line into a log.
    if not isinstance(value, str) or value == "" or _UNSEEN.search(value):
        raise VerifyError("claim_invalid", f"{name} is not a text")
    return value


def _moment(members: dict[str, Any], name: str) -> float:
    value = _required(members, name)
    # In Python, True is the number 1. Infinity fails the comparison.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOMENT_MAX:
        raise VerifyError("claim_invalid", f"{name} is no moment")
    return value


def _scopes(value: object) -> frozenset[str]:
    if not isinstance(value, str) or _SCOPE.fullmatch(value) is None:
        raise VerifyError("claim_invalid", "scope has a wrong form")
    return frozenset(value.split(" "))


def _confirmation(cnf: object) -> tuple[str | None, str | None]:
    """Whom the token is bound to. A token that is bound in no way that is known here is refused: to accept it would
    unbind it."""
    known = {name: cnf[name] for name in ("x5t#S256", "jkt") if name in cnf} if isinstance(cnf, dict) else {}
    if not known:
        raise VerifyError("claim_invalid", "cnf binds in no way that is known here")
    for value in known.values():
        if not isinstance(value, str) or _THUMBPRINT.fullmatch(value) is None:
            raise VerifyError("claim_invalid", "cnf has no SHA-256 thumbprint")
    return known.get("x5t#S256"), known.get("jkt")


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(member) for name, member in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
