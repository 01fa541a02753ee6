"""Reads compact JSON Web Signatures strictly: each has one spelling, and its JSON has one meaning.

What is refused here was accepted somewhere, and let one token be read in two ways: padding, aliases of the last
character, members that stand twice, text that is no text.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from base64 import urlsafe_b64encode
from typing import Any, Final, NamedTuple

from .errors import VerifyError

#: Characters of a token. A token with a hundred scopes of full length has 14,000.
TOKEN_CHARACTERS_MAX: Final = 16 * 1024
#: Levels to which JSON may nest.
JSON_DEPTH_MAX: Final = 16

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


class Compact(NamedTuple):
    """A token in its parts. Nothing in it is verified."""

    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes


def parse_compact(token: object, *, characters_max: int = TOKEN_CHARACTERS_MAX) -> Compact:
    """Cut a token into its parts. The payload is read later, after its signature is verified."""
    if not isinstance(token, str):
        raise VerifyError("token_malformed", "not a text")
    # Length first: to split a text of a million dots costs a million texts.
    if len(token) > characters_max:
        raise VerifyError("token_malformed", "too long")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise VerifyError("token_malformed", "not three parts of base64url")
    header, payload, signature = match.groups()
    return Compact(
        parse_object(decode_base64url(header)),
        decode_base64url(payload),
        token[: len(header) + 1 + len(payload)].encode(),
        decode_base64url(signature),
    )


def decode_base64url(text: str) -> bytes:
    """Decode the one canonical spelling: no padding, no other alphabet, no stray bits in the last character."""
    data = text.encode("ascii", "replace")
    try:
        decoded = binascii.a2b_base64(data.translate(_URL_SAFE) + b"=" * (-len(data) % 4))
    except binascii.Error as error:
        raise VerifyError("token_malformed", "not base64url") from error
    # The way back says whether it was the canonical one. Whatever else a decoder lets pass is noticed too.
    if encode_base64url(decoded) != text:
        raise VerifyError("token_malformed", "not canonical base64url")
    return decoded


def encode_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def sha256_base64url(data: bytes) -> str:
    return encode_base64url(hashlib.sha256(data).digest())


def parse_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object with one meaning (RFC 8259, RFC 7493)."""
    if data.count(b"{") + data.count(b"[") > JSON_DEPTH_MAX and _is_deep(data):
        raise VerifyError("token_malformed", "JSON nests too deep")
    try:
        parsed = _decoder.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise VerifyError("token_malformed", "not JSON that has one meaning") from error
    if not isinstance(parsed, dict):
        raise VerifyError("token_malformed", "not a JSON object")
    # Only an escape can write half a character: UTF-8 was strict.
    if b"\\u" in data and not _is_text(parsed):
        raise VerifyError("token_malformed", "half a character")
    return parsed


def _is_deep(data: bytes) -> bool:
    depth = 0
    in_text = escaped = False
    for byte in data:
        if in_text:
            in_text = escaped or byte != 0x22
            escaped = not escaped and byte == 0x5C
        elif byte == 0x22:
            in_text = True
        elif byte in b"{[":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                return True
        elif byte in b"}]":
            depth -= 1
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder: Final = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _is_text(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_is_text(key) and _is_text(member) for key, member in value.items())
    return all(map(_is_text, value)) if isinstance(value, list) else True
