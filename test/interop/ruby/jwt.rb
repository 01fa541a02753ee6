issuer, audience, token = ENV.values_at('ISSUER', 'AUDIENCE', 'TOKEN')
# --- snippet
require 'json'
require 'jwt'
require 'net/http'

keys = nil
loader = lambda do |options|
  keys = nil if options[:invalidate] # an unknown kid; keep them for five minutes otherwise
  keys ||= JSON.parse(Net::HTTP.get(URI("#{issuer}/.well-known/jwks.json")), symbolize_names: true)
end
claims, header = JWT.decode(
  token, nil, true,
  algorithms: ['ES256'], jwks: loader, iss: issuer, verify_iss: true, aud: audience, verify_aud: true
)
raise JWT::DecodeError, 'not an access token' unless header['typ'] == 'at+jwt'
# --- end
puts claims['sub']
