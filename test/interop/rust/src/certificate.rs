use crate::{Failure, given};
// --- snippet
use oauth2::basic::BasicClient;
use oauth2::{ClientId, TokenResponse, TokenUrl};

/// `pem` has the certificate and its key.
fn token(mtls_url: &str, client_id: &str, audience: &str, pem: &[u8]) -> Result<String, Failure> {
    let http = reqwest::blocking::Client::builder()
        .identity(reqwest::Identity::from_pem(pem)?)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let client = BasicClient::new(ClientId::new(client_id.to_string()))
        .set_token_uri(TokenUrl::new(format!("{mtls_url}/token"))?);
    let token = client
        .exchange_client_credentials()
        .add_extra_param("resource", audience)
        .request(&http)?;
    Ok(token.access_token().secret().clone())
}
// --- end

pub fn run() -> Result<String, Failure> {
    let mut pem = std::fs::read(given("CERTIFICATE_FILE"))?;
    pem.extend(std::fs::read(given("CERTIFICATE_KEY_FILE"))?);
    token(&given("MTLS_URL"), &given("CLIENT_ID"), &given("AUDIENCE"), &pem)
}
