//! One program with a command for each library: it prints a token, or whose token it accepted.
mod certificate;
mod jsonwebtoken_verifier;
mod oauth2_client;
mod openidconnect_client;
mod tower_server;

pub type Failure = Box<dyn std::error::Error>;

pub fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn main() -> Result<(), Failure> {
    let result = match std::env::args().nth(1).as_deref() {
        Some("oauth2") => oauth2_client::run()?,
        Some("jsonwebtoken") => jsonwebtoken_verifier::run()?,
        Some("openidconnect") => openidconnect_client::run()?,
        Some("tower") => tower_server::run()?,
        Some("certificate") => certificate::run()?,
        _ => return Err("no such program".into()),
    };
    println!("{result}");
    Ok(())
}
