import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
import requests

response = requests.post(
    f"{issuer}/token",
    auth=(client_id, client_secret),
    data={"grant_type": "client_credentials", "resource": audience},  # data, not json
)
answer = response.json()
# --- end
print(answer.get("access_token") or answer["error_description"])
