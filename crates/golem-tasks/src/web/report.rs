//! A run as one file of HTML: the page with what the server would answer inside of it. It opens without any network.

use serde_json::json;
use yagna_api::Clock;

use super::{assets, parts};
use crate::store::{Store, StoreError};

/// The rule of a report: it asks nobody.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
    base-uri 'none'; form-action 'none'";

/// The report of a run.
pub(crate) async fn report(store: &Store, run_id: &str) -> Result<String, StoreError> {
    let pulse = store.pulse(run_id).await?;
    let run = parts::run(store, run_id, &pulse).await?;
    let made = golem_sdk::SystemClock.now();
    let site = json!({ "version": env!("CARGO_PKG_VERSION"), "run": run_id, "made": made });
    let data = parts::joined(&[
        ("site", site.to_string()),
        ("run", run),
        ("charts", parts::charts(store, run_id, None).await?),
        ("providers", parts::providers(store, run_id).await?),
        ("errors", parts::errors(store, run_id).await?),
    ]);
    Ok(page(run_id, &data))
}

/// The page with its files and this data inside of it.
fn page(run_id: &str, data: &str) -> String {
    let script = assets::script();
    let head = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<style>\n{}</style>",
        assets::STYLE
    );
    // No text of a stranger may end the element that it stands in.
    let data = data.replace('<', "\\u003c");
    let body =
        format!("<script type=\"application/json\" id=\"data\">{data}</script>\n<script>\n{script}</script>");
    let title = format!("<title>{} – golem-tasks</title>", escaped(run_id));
    assets::HTML
        .replace("<title>golem-tasks</title>", &title)
        .replace("<link rel=\"stylesheet\" href=\"page.css\">", &head)
        .replace("<link rel=\"icon\" href=\"icon.svg\">", "")
        .replace("<script src=\"page.js\" defer></script>", "")
        .replace("</body>", &format!("{body}\n</body>"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_everything_inside_and_no_text_gets_out_of_its_place() {
        let page = page("a<b", "{\"x\":\"</script><img src=http://evil.example>\"}");
        assert!(page.contains("<title>a&lt;b – golem-tasks</title>"));
        assert!(page.contains("\\u003c/script>\\u003cimg"));
        assert_eq!(page.matches("</script>").count(), 2, "the data's and the script's own");
        for outside in ["page.css\"", "page.js\"", "icon.svg\"", "src=\"", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains(POLICY) && page.contains("--done"));
    }
}
