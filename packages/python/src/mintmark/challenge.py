"""The header WWW-Authenticate (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import VerifyError


def challenge(
    error: VerifyError, scopes: Iterable[str], resource_metadata: str | None, proof_algorithms: Iterable[str]
) -> str:
    """What a caller reads to find out what is missing. Empty where the fault is not the caller's."""
    if error.status not in (400, 401, 403):
        return ""
    about_proof = error.code.startswith("proof_") or error.code == "token_not_bound"
    parameters: list[tuple[str, str]] = []
    if error.error:
        parameters += [("error", error.error), ("error_description", error.description)]
    needed = " ".join(scopes)
    if needed and error.error in ("", "insufficient_scope"):
        parameters.append(("scope", needed))
    if resource_metadata is not None:
        parameters.append(("resource_metadata", resource_metadata))
    if about_proof:
        parameters.append(("algs", " ".join(proof_algorithms)))
    listed = ", ".join(f'{name}="{_quotable(value)}"' for name, value in parameters)
    return f"{'DPoP' if about_proof else 'Bearer'} {listed}".rstrip()


def _quotable(text: str) -> str:
    """RFC 6750 section 3 allows no quote, no backslash and nothing beyond ASCII."""
    return re.sub(r"[^ !#-\[\]-~]", "", text)
