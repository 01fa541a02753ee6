use crate::{Failure, given};
// --- snippet
use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, Scope, TokenResponse, TokenUrl, reqwest};

fn token(issuer: &str, client_id: &str, client_secret: &str) -> Result<String, Failure> {
    let client = BasicClient::new(ClientId::new(client_id.to_string()))
        .set_client_secret(ClientSecret::new(client_secret.to_string()))
        .set_token_uri(TokenUrl::new(format!("{issuer}/token"))?);
    let http = reqwest::blocking::ClientBuilder::new()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let token = client
        .exchange_client_credentials()
        .add_scope(Scope::new("orders:read".to_string()))
        .request(&http)?;
    Ok(token.access_token().secret().clone())
}
// --- end

pub fn run() -> Result<String, Failure> {
    token(&given("ISSUER"), &given("CLIENT_ID"), &given("CLIENT_SECRET"))
}
