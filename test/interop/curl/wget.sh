#!/bin/sh
# --- snippet
wget --quiet --output-document=- "$ISSUER/token" \
  --auth-no-challenge --user="$CLIENT_ID" --password="$CLIENT_SECRET" --content-on-error \
  --ca-certificate="$SSL_CERT_FILE" --post-data="grant_type=client_credentials&resource=$AUDIENCE"
# --- end
