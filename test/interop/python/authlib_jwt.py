import os
import time
import uuid

issuer, client_id, kid, audience = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "KEY_ID", "AUDIENCE"))
with open(os.environ["PRIVATE_KEY_FILE"]) as file:
    private_key = file.read()
# --- snippet
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey

key = ECKey.import_key(private_key)
client = OAuth2Session(client_id, key, token_endpoint_auth_method="private_key_jwt")
claims = {"aud": issuer, "exp": int(time.time()) + 60, "jti": str(uuid.uuid4())}
client.register_client_auth_method(
    PrivateKeyJWT(f"{issuer}/token", claims=claims, headers={"kid": kid}, alg="ES256")
)
token = client.fetch_token(f"{issuer}/token", grant_type="client_credentials", resource=audience)
# --- end
print(token["access_token"])
