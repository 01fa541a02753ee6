use crate::{Failure, given};
// --- snippet
use openidconnect::core::{CoreClient, CoreProviderMetadata};
use openidconnect::{ClientId, ClientSecret, IssuerUrl, OAuth2TokenResponse, reqwest};

fn token(issuer: String, id: String, secret: String, audience: String) -> Result<String, Failure> {
    let http = reqwest::blocking::ClientBuilder::new()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let metadata = CoreProviderMetadata::discover(&IssuerUrl::new(issuer)?, &http)?;
    let secret = Some(ClientSecret::new(secret));
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(id), secret);
    let token = client
        .exchange_client_credentials()?
        .add_extra_param("resource", audience)
        .request(&http)?;
    Ok(token.access_token().secret().clone())
}
// --- end

pub fn run() -> Result<String, Failure> {
    token(given("ISSUER"), given("CLIENT_ID"), given("CLIENT_SECRET"), given("AUDIENCE"))
}
