use strict;
use warnings;

my ($issuer, $client_id, $client_secret, $audience) = @ENV{qw(ISSUER CLIENT_ID CLIENT_SECRET AUDIENCE)};
# --- snippet
use HTTP::Request::Common;
use JSON::PP;
use LWP::UserAgent;

my $request = POST "$issuer/token", [grant_type => 'client_credentials', resource => $audience];
$request->authorization_basic($client_id, $client_secret);
my $answer = decode_json(LWP::UserAgent->new->request($request)->content);
# --- end
print $answer->{access_token} // $answer->{error_description}, "\n";
