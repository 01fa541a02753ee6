import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
import requests
from jose import jwt

# Fetch it again when a kid is unknown, and keep it for five minutes.
keys = requests.get(f"{issuer}/.well-known/jwks.json").json()
claims = jwt.decode(token, keys, algorithms=["ES256"], issuer=issuer, audience=audience)
# --- end
print(claims["sub"])
