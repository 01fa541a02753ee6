#!/bin/sh
# --- snippet
curl --silent --cert "$CERTIFICATE_FILE" --key "$CERTIFICATE_KEY_FILE" "$MTLS_URL/token" \
  --data grant_type=client_credentials --data "client_id=$CLIENT_ID" --data-urlencode "resource=$AUDIENCE"
# --- end
