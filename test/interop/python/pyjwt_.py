import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
import jwt

keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
claims = jwt.decode(
    token,
    keys.get_signing_key_from_jwt(token),
    algorithms=["ES256"],
    issuer=issuer,
    audience=audience,
    options={"require": ["exp", "iat", "jti", "client_id"]},
)
if jwt.get_unverified_header(token).get("typ") != "at+jwt":
    raise jwt.InvalidTokenError("not an access token")
# --- end
print(claims["sub"])
