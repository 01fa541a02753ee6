issuer, client_id, client_secret, audience = ENV.values_at('ISSUER', 'CLIENT_ID', 'CLIENT_SECRET', 'AUDIENCE')
# --- snippet
require 'oauth2'

client = OAuth2::Client.new(client_id, client_secret, site: issuer, token_url: '/token')
token = client.client_credentials.get_token(resource: audience)
# --- end
puts token.token
