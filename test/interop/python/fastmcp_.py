import asyncio
import os

from fastmcp.server.auth.providers.jwt import JWTVerifier

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
verifier = JWTVerifier(
    jwks_uri=f"{issuer}/.well-known/jwks.json",
    issuer=issuer,
    audience=audience,
    algorithm="ES256",  # its default is RS256, and another one is refused without a word
)
# --- end
accepted = asyncio.run(verifier.verify_token(token))
print("refused" if accepted is None else accepted.client_id)
raise SystemExit(accepted is None)
