use crate::{Failure, given};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use std::time::Duration;
use tower::ServiceExt;
// --- snippet
use axum::{Extension, Router, routing::get};
use tower_oauth2_resource_server::{
    claims::DefaultClaims, server::OAuth2ResourceServer, tenant::TenantConfiguration,
};

async fn app(issuer: &str, audience: &str) -> Result<Router, Failure> {
    let tenant = TenantConfiguration::builder(issuer).audiences(&[audience]).build().await?;
    let server = <OAuth2ResourceServer>::builder().add_tenant(tenant).build().await?;
    Ok(Router::new().route("/orders", get(orders)).layer(server.into_layer()))
}

async fn orders(Extension(claims): Extension<DefaultClaims>) -> String {
    claims.sub.unwrap_or_default()
}
// --- end

/// It answers one request without a listener.
pub fn run() -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = app(&given("ISSUER"), &given("AUDIENCE")).await?;
        // It fetches the keys beside the requests, and refuses every token until it has them.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let bearer = format!("Bearer {}", given("TOKEN"));
        let request = Request::get("/orders").header("Authorization", bearer).body(Body::empty())?;
        let response = app.oneshot(request).await?;
        if !response.status().is_success() {
            return Err(response.status().to_string().into());
        }
        let body = to_bytes(response.into_body(), usize::MAX).await?;
        Ok(String::from_utf8(body.to_vec())?)
    })
}
