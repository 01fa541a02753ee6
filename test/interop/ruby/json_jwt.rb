issuer, audience, token = ENV.values_at('ISSUER', 'AUDIENCE', 'TOKEN')
# --- snippet
require 'json/jwt'
require 'openid_connect'

provider = OpenIDConnect::Discovery::Provider::Config.discover!(issuer)
keys = provider.jwks # Fetch them again when a kid is unknown, and keep them for five minutes.
claims = JSON::JWT.decode(token, keys, [:ES256])
right = claims['iss'] == issuer && claims['aud'] == audience && claims['exp'] > Time.now.to_i
raise JSON::JWT::VerificationFailed unless right && claims.typ == 'at+jwt'
# --- end
puts claims['sub']
