"""Takes the token out of a request: one Authorization header, of one scheme (RFC 6750 section 2.1, RFC 9449)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from .errors import VerifyError

_AUTHORIZATION: Final = re.compile(r"(?i:(bearer)|(dpop)) ([A-Za-z0-9._~+/-]+=*)")
_SCHEME: Final = re.compile(r"(?i:bearer|dpop)(?![A-Za-z0-9!#$%&'*+.^_`|~-])")


class Authorization(NamedTuple):
    #: "Bearer" or "DPoP".
    scheme: str
    token: str


def read_authorization(values: Sequence[str]) -> Authorization:
    """The token of a request. `values` has every Authorization header, also those beyond the first."""
    if len(values) > 1:
        raise VerifyError("request_malformed", "more than one Authorization header")
    value = values[0] if values else ""
    # Another scheme is no token, and no mistake.
    if _SCHEME.match(value) is None:
        raise VerifyError("token_missing")
    match = _AUTHORIZATION.fullmatch(value)
    if match is None:
        raise VerifyError("request_malformed", "not one token after the scheme and one space")
    return Authorization("DPoP" if match[2] else "Bearer", match[3])
