"""Mintmark for Python: verify access tokens, get them, and sign requests."""

from .certificates import certificate_thumbprint
from .claims import Claims
from .credentials import AssertionFile, ClientCertificate, ClientSecret, PrivateKey, read_credential
from .dpop import Dpop, DpopKey, ProofRules
from .errors import REFUSALS, VerifyError
from .grant import TokenError
from .replay import ReplayMemory, Replays
from .source import AsyncTokenSource, TokenSource
from .tls import ClientTls, ServerTls
from .verifier import Outcome, Verifier

__all__ = [
    "REFUSALS",
    "AssertionFile",
    "AsyncTokenSource",
    "Claims",
    "ClientCertificate",
    "ClientSecret",
    "ClientTls",
    "Dpop",
    "DpopKey",
    "Outcome",
    "PrivateKey",
    "ProofRules",
    "ReplayMemory",
    "Replays",
    "ServerTls",
    "TokenError",
    "TokenSource",
    "Verifier",
    "VerifyError",
    "certificate_thumbprint",
    "read_credential",
]
__version__ = "0.1.0"
