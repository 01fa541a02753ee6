import json
import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
import requests
from jwcrypto import jwk, jwt

# Fetch it again when a kid is unknown, and keep it for five minutes.
keys = jwk.JWKSet.from_json(requests.get(f"{issuer}/.well-known/jwks.json").text)
verified = jwt.JWT(
    jwt=token,
    key=keys,
    algs=["ES256"],
    check_claims={"iss": issuer, "aud": audience, "exp": None, "sub": None},
    expected_type="JWS",
)
if json.loads(verified.header).get("typ") != "at+jwt":
    raise ValueError("not an access token")
claims = json.loads(verified.claims)
# --- end
print(claims["sub"])
