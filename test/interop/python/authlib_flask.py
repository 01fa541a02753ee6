import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
import requests
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from flask import Flask
from joserfc.jwk import KeySet


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):  # keep them for five minutes
        return KeySet.import_key_set(requests.get(f"{issuer}/.well-known/jwks.json").json())


require_oauth = ResourceProtector()
require_oauth.register_token_validator(Validator(issuer=issuer, resource_server=audience))
app = Flask(__name__)


@app.get("/orders")
@require_oauth("orders:read")
def orders():
    return current_token["client_id"]
# --- end


response = app.test_client().get("/orders", headers={"authorization": f"Bearer {token}"})
print(response.text)
raise SystemExit(response.status_code != 200)
