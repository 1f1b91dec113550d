//! The page that is scraped.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::encoding::text::encode;
use tokio::net::TcpListener;

use super::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `GET /metrics` for as long as the process runs.
pub(crate) async fn serve(listener: TcpListener, metrics: Metrics) {
    let router = Router::new().route("/metrics", get(page)).with_state(metrics);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics' listener failed");
    }
}

async fn page(State(metrics): State<Metrics>) -> Response {
    match text(&metrics) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

pub(super) fn text(metrics: &Metrics) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, &metrics.0.registry)?;
    Ok(text)
}
