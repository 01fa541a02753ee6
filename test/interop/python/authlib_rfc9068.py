import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
import requests
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):  # keep them for five minutes
        return KeySet.import_key_set(requests.get(f"{issuer}/.well-known/jwks.json").json())


validator = Validator(issuer=issuer, resource_server=audience)
claims = validator.authenticate_token(token)
validator.validate_token(claims, ["orders:read"], request=None)
# --- end
print(claims["sub"])
