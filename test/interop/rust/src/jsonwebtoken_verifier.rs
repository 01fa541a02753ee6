use crate::{Failure, given};
// --- snippet
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};

#[derive(serde::Deserialize)]
struct Claims {
    sub: String,
}

fn verify(issuer: &str, audience: &str, token: &str) -> Result<Claims, Failure> {
    // Fetch it again when a kid is unknown, and keep it for five minutes.
    let keys: JwkSet = reqwest::blocking::get(format!("{issuer}/.well-known/jwks.json"))?.json()?;
    let header = decode_header(token)?;
    if header.typ.as_deref() != Some("at+jwt") {
        return Err("not an access token".into());
    }
    let key = keys.find(&header.kid.unwrap_or_default()).ok_or("an unknown kid")?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    Ok(decode::<Claims>(token, &DecodingKey::from_jwk(key)?, &validation)?.claims)
}
// --- end

pub fn run() -> Result<String, Failure> {
    Ok(verify(&given("ISSUER"), &given("AUDIENCE"), &given("TOKEN"))?.sub)
}
