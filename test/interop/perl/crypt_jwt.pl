use strict;
use warnings;

my ($issuer, $audience, $token) = @ENV{qw(ISSUER AUDIENCE TOKEN)};
# --- snippet
use Crypt::JWT qw(decode_jwt);
use JSON::PP;
use LWP::UserAgent;

# Fetch them again when a kid is unknown, and keep them for five minutes.
my $keys = decode_json(LWP::UserAgent->new->get("$issuer/.well-known/jwks.json")->content);
my ($header, $claims) = decode_jwt(
    token          => $token,
    decode_header  => 1,
    kid_keys       => $keys,
    accepted_alg   => 'ES256',
    verify_iss     => $issuer,
    verify_aud     => $audience,
    verify_exp     => 1,
);
die 'not an access token' if $header->{typ} ne 'at+jwt';
# --- end
print "$claims->{sub}\n";
