#!/bin/sh
# --- snippet
curl --silent --user "$CLIENT_ID:$CLIENT_SECRET" "$ISSUER/token" \
  --data grant_type=client_credentials --data-urlencode "resource=$AUDIENCE" --data-urlencode 'scope=orders:read'
# --- end
