import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

# Fetch it again when a kid is unknown, and keep it for five minutes.
keys = KeySet.import_key_set(requests.get(f"{issuer}/.well-known/jwks.json").json())
decoded = jwt.decode(token, keys, algorithms=["ES256"])
jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": issuer}, aud={"essential": True, "value": audience}, exp={"essential": True}
).validate(decoded.claims)
if decoded.header.get("typ") != "at+jwt":
    raise ValueError("not an access token")
# --- end
print(decoded.claims["sub"])
