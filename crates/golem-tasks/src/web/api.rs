//! The addresses of the server, and what all of its answers have in common.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use yagna_api::Timestamp;

use super::answer::{self, Trouble, json_text, refused};
use super::shared::Shared;
use super::{assets, control, live, parts, tasks};
use crate::store::Span;

/// A part of a run's time, in microseconds since 1970.
#[derive(Debug, Deserialize)]
struct Part {
    from: Option<i64>,
    until: Option<i64>,
}

/// The routes of the page.
pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(assets::html))
        .route("/page.css", get(assets::style))
        .route("/page.js", get(assets::page_script))
        .route("/icon.svg", get(assets::icon))
        .route("/favicon.ico", get(assets::icon))
        .route("/metrics", get(metrics))
        .route("/api/site", get(site))
        .route("/api/runs", get(runs))
        .route("/api/events", get(|State(shared): State<Arc<Shared>>| async { live::of_all(shared) }))
        .route("/api/runs/{run}", get(run))
        .route(
            "/api/runs/{run}/events",
            get(|State(shared): State<Arc<Shared>>, Path(run)| async { live::of_run(shared, run) }),
        )
        .route("/api/runs/{run}/charts", get(charts))
        .route("/api/runs/{run}/providers", get(providers))
        .route("/api/runs/{run}/errors", get(errors))
        .route("/api/runs/{run}/tasks", get(tasks::list))
        .route("/api/runs/{run}/tasks/{task}", get(tasks::one))
        .route("/api/runs/{run}/report", get(report))
        .route("/api/runs/{run}/cancel", post(control::cancel))
        .route("/api/providers/block", post(control::block))
        .route("/api/providers/unblock", post(control::unblock))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .with_state(shared)
}

async fn site(State(shared): State<Arc<Shared>>) -> Response {
    let control = shared.guard.allows_control();
    let told = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "place": shared.store.place(),
        "run": shared.run_id,
        "control": control,
        "change": control.then(|| shared.guard.change()),
    });
    json_text(told.to_string())
}

async fn runs(State(shared): State<Arc<Shared>>) -> Result<Response, Trouble> {
    Ok(json_text(shared.runs().await?))
}

async fn run(State(shared): State<Arc<Shared>>, Path(run): Path<String>) -> Result<Response, Trouble> {
    Ok(json_text(shared.run(&run).await?))
}

async fn charts(
    State(shared): State<Arc<Shared>>,
    Path(run): Path<String>,
    Query(part): Query<Part>,
) -> Result<Response, Trouble> {
    let span = match (part.from, part.until) {
        (Some(from), Some(until)) if from < until => {
            let at = |micros| Timestamp::from_microsecond(micros).ok();
            at(from).zip(at(until)).map(|(from, until)| Span { from, until })
        }
        _ => None,
    };
    let more = span.map(|span| format!("{}/{}", span.from, span.until)).unwrap_or_default();
    Box::pin(shared.part("charts", &run, more, parts::charts(&shared.store, &run, span))).await
}

async fn providers(State(shared): State<Arc<Shared>>, Path(run): Path<String>) -> Result<Response, Trouble> {
    // Blocks are of no run, so that no pulse tells of them.
    let told = Box::pin(parts::providers(&shared.store, &run)).await?;
    Ok(json_text(told))
}

async fn errors(State(shared): State<Arc<Shared>>, Path(run): Path<String>) -> Result<Response, Trouble> {
    Box::pin(shared.part("errors", &run, String::new(), parts::errors(&shared.store, &run))).await
}

async fn report(State(shared): State<Arc<Shared>>, Path(run): Path<String>) -> Result<Response, Trouble> {
    let page = super::report(&shared.store, &run).await?;
    let name = format!("attachment; filename=\"{run}.html\"");
    let headers = [
        (axum::http::header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (axum::http::header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, page).into_response())
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    answer::metrics(shared.metrics.text(&shared.store, None).await)
}
