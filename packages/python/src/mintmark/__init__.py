"""Mintmark for Python: verify access tokens, get them, and sign requests."""

from .certificates import certificate_thumbprint
from .claims import Claims
from .dpop import Dpop, DpopKey, ProofRules
from .errors import REFUSALS, VerifyError
from .replay import ReplayMemory, Replays
from .verifier import Outcome, Verifier

__all__ = [
    "REFUSALS",
    "Claims",
    "Dpop",
    "DpopKey",
    "Outcome",
    "ProofRules",
    "ReplayMemory",
    "Replays",
    "Verifier",
    "VerifyError",
    "certificate_thumbprint",
]
__version__ = "0.1.0"
