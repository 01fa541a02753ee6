"""What a token, a proof or a signed request can be refused for, and the answer it becomes (RFC 6750 section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Refusal:
    """One way to be refused. The description goes to the caller, so it says nothing that helps to forge."""

    status: int
    error: str
    description: str


def _token(description: str) -> Refusal:
    return Refusal(401, "invalid_token", description)


def _proof(description: str) -> Refusal:
    return Refusal(401, "invalid_dpop_proof", description)


def _request(description: str) -> Refusal:
    return Refusal(401, "", description)


REFUSALS: Final[dict[str, Refusal]] = {
    # RFC 6750 section 3.1: a request without a credential gets no error, only the way to get one.
    "token_missing": Refusal(401, "", "Send an access token in the Authorization header."),
    "request_malformed": Refusal(400, "invalid_request", "Send one access token, in the Authorization header."),
    # The text of the token.
    "token_malformed": _token("The access token is malformed."),
    "algorithm_not_allowed": _token("The algorithm of the access token is not accepted here."),
    "header_unsupported": _token("The access token has an extension that is not understood."),
    "type_wrong": _token("This is not an access token."),
    "key_unknown": _token("The access token was signed by an unknown key."),
    "signature_wrong": _token("The signature of the access token is wrong."),
    # What it claims.
    "issuer_wrong": _token("The access token is of another issuer."),
    "audience_wrong": _token("The access token is for another audience."),
    "claim_missing": _token("The access token lacks a claim."),
    "claim_invalid": _token("A claim of the access token has a wrong form."),
    "token_expired": _token("The access token has expired."),
    "token_not_yet_valid": _token("The access token is not valid yet."),
    "scope_insufficient": Refusal(403, "insufficient_scope", "The access token lacks a scope."),
    # Whom it is bound to.
    "certificate_missing": _token("The access token needs its client certificate."),
    "certificate_wrong": _token("The access token belongs to another certificate."),
    "certificate_expired": _token("The client certificate has expired, or is not valid yet."),
    "proof_missing": _token("The access token needs a DPoP proof."),
    "proof_malformed": _proof("The DPoP proof is malformed."),
    "proof_type_wrong": _proof("This is not a DPoP proof."),
    "proof_algorithm_not_allowed": _proof("The algorithm of the DPoP proof is not accepted here."),
    "proof_key_invalid": _proof("The key of the DPoP proof is not a public key for its algorithm."),
    "proof_signature_wrong": _proof("The signature of the DPoP proof is wrong."),
    "proof_claim_missing": _proof("The DPoP proof lacks a claim."),
    "proof_claim_invalid": _proof("A claim of the DPoP proof has a wrong form."),
    "proof_method_wrong": _proof("The DPoP proof is for another method."),
    "proof_url_wrong": _proof("The DPoP proof is for another URL."),
    "proof_time_wrong": _proof("The DPoP proof is too old, or early."),
    "proof_token_wrong": _proof("The DPoP proof is for another access token."),
    "proof_replayed": _proof("The DPoP proof was used before."),
    "proof_key_wrong": _token("The access token belongs to another key."),
    "token_not_bound": _token("The access token is bound to no key, and one is required here."),
    # A signed request (RFC 9421). OAuth has no word for it.
    "request_signature_missing": _request("The request has to be signed."),
    "request_signature_malformed": _request("The signature of the request is malformed."),
    "request_parameter_missing": _request("The signature of the request lacks a parameter."),
    "request_component_missing": _request("The signature of the request does not cover all that it must."),
    "request_component_unsupported": _request("The signature of the request covers what is not understood."),
    "request_key_unknown": _request("The request was signed by an unknown key."),
    "request_key_wrong": _request("The request was signed by another key than that of the access token."),
    "request_algorithm_not_allowed": _request("The algorithm of the signature is not that of its key."),
    "request_time_wrong": _request("The signature of the request is too old, or early."),
    "request_signature_wrong": _request("The signature of the request is wrong."),
    "request_digest_wrong": _request("The body of the request has another digest."),
    "request_replayed": _request("The signed request was sent before."),
    # Not the caller's fault.
    "keys_unavailable": Refusal(503, "", "The keys of the issuer cannot be had. Try again later."),
    "replay_memory_full": Refusal(503, "", "Too many requests. Try again later."),
}


class VerifyError(Exception):
    """A refusal. `code` is stable, and `www_authenticate` is the value of the header that belongs to the answer.

    `detail` is for the log of the relying service. It is not sent to the caller.
    """

    def __init__(self, code: str, detail: str = "", *, www_authenticate: str = "", retry_after: int = 0) -> None:
        refusal = REFUSALS[code]
        super().__init__(f"{code}: {detail or refusal.description}")
        self.code = code
        self.detail = detail
        self.status = refusal.status
        self.error = refusal.error
        self.description = refusal.description
        self.www_authenticate = www_authenticate
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        found = {"Cache-Control": "no-store"}
        if self.www_authenticate:
            found["WWW-Authenticate"] = self.www_authenticate
        if self.retry_after:
            found["Retry-After"] = str(self.retry_after)
        return found

    @property
    def body(self) -> dict[str, str]:
        """The body of the answer, as JSON."""
        return {"error": self.error or self.code, "error_description": self.description}
