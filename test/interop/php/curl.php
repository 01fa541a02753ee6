<?php
[$issuer, $clientId, $clientSecret, $audience] =
    array_map('getenv', ['ISSUER', 'CLIENT_ID', 'CLIENT_SECRET', 'AUDIENCE']);
$curl = curl_init();
curl_setopt($curl, CURLOPT_CAINFO, getenv('SSL_CERT_FILE'));
// --- snippet
curl_setopt_array($curl, [
    CURLOPT_URL => "$issuer/token",
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_USERPWD => "$clientId:$clientSecret",
    CURLOPT_POSTFIELDS => http_build_query(['grant_type' => 'client_credentials', 'resource' => $audience]),
]);
$answer = json_decode(curl_exec($curl), true);
// --- end
echo $answer['access_token'] ?? $answer['error_description'], "\n";
