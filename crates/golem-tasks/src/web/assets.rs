//! The page's own files, which are in the program.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

pub(super) const HTML: &str = include_str!("assets/page.html");
pub(super) const STYLE: &str = include_str!("assets/page.css");
/// The parts of the page's script, in the order in which they need one another.
pub(super) const SCRIPTS: [&str; 4] = [
    include_str!("assets/base.js"),
    include_str!("assets/charts.js"),
    include_str!("assets/timeline.js"),
    include_str!("assets/page.js"),
];
const ICON: &str = include_str!("assets/icon.svg");

/// The whole script.
pub(super) fn script() -> String {
    format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPTS.concat())
}

pub(super) async fn html() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], HTML).into_response()
}

pub(super) async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

pub(super) async fn page_script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], script()).into_response()
}

pub(super) async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml")], ICON).into_response()
}
