#!/bin/sh
# --- snippet
encoded() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
header=$(printf '{"alg":"RS256","kid":"%s"}' "$KEY_ID" | encoded)
claims=$(printf '{"iss":"%s","sub":"%s","aud":"%s","jti":"%s","exp":%s}' "$CLIENT_ID" "$CLIENT_ID" "$ISSUER" \
  "$(openssl rand -hex 16)" "$(($(date +%s) + 60))" | encoded)
signature=$(printf '%s.%s' "$header" "$claims" | openssl dgst -sha256 -sign "$RSA_PRIVATE_KEY_FILE" | encoded)
curl --silent "$ISSUER/token" --data grant_type=client_credentials --data-urlencode "resource=$AUDIENCE" \
  --data client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer \
  --data "client_assertion=$header.$claims.$signature"
# --- end
