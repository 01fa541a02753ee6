import os
import sys

issuer, client_id, kid, audience = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "KEY_ID", "AUDIENCE"))
with open(os.environ["PRIVATE_KEY_FILE"]) as file:
    private_key = file.read()
# --- snippet
import time
import uuid

import jwt
import requests

claims = {
    "iss": client_id, "sub": client_id, "aud": issuer,
    "jti": str(uuid.uuid4()), "exp": int(time.time()) + 60,
}
answer = requests.post(f"{issuer}/token", data={
    "grant_type": "client_credentials",
    "resource": audience,
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": jwt.encode(claims, private_key, "ES256", {"kid": kid}),
}).json()
# --- end
if "access_token" not in answer:
    sys.exit(answer["error_description"])
print(answer["access_token"])
