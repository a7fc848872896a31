//! Keys, paths, bodies, queries: what all APIs have in common; and identity, version, net.

use serde_json::{Value, json};

use crate::kit::Net;

type Headers<'a> = &'a [(&'a str, &'a str)];
type Row<'a> = (&'a str, Headers<'a>, &'a str, u16, &'a str, &'a str);

#[tokio::test(start_paused = true)]
async fn keys_are_asked_for_as_the_daemon_does() {
    let net = Net::new();
    let key = net.requestor.key.expose().to_owned();
    let bearer = format!("Bearer {key}");
    let lower = format!("bearer {key}");
    let in_query = format!("GET /me?authToken={key}");
    let table: [(&str, Headers<'_>, u16, &str); 9] = [
        ("GET /me", &[], 401, "Missing application key"),
        ("GET /me", &[("authorization", &lower)], 401, "Missing application key"),
        ("GET /me", &[("authorization", "Bearer nonsense")], 401, "Invalid application key"),
        ("GET /me", &[("authorization", &bearer)], 200, "{"),
        (&in_query, &[], 200, "{"),
        (&in_query, &[("authorization", "Bearer nonsense")], 401, "Invalid application key"),
        ("GET /version/get", &[], 200, "{"),
        ("GET /metrics-api/v1/expose", &[], 200, "devnet_requests"),
        ("GET /healthcheck", &[], 401, "Missing application key"),
    ];
    for (line, headers, status, text) in table {
        let reply = net.raw(line, headers, "").await;
        assert_eq!(reply.status, status, "{line} {headers:?}");
        assert!(reply.text.starts_with(text), "{line} {headers:?}: {}", reply.text);
        if status == 401 {
            assert!(reply.content_type.starts_with("text/plain"), "{}", reply.content_type);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_paths_and_wrong_methods_are_not_found_and_empty() {
    let net = Net::new();
    for line in [
        "GET /nowhere",
        "GET /market-api/v1/nowhere",
        "PUT /market-api/v1/demands",
        "DELETE /me",
        "GET /market-api/v1/demands/",
        "GET /_gsb/local/activity/SetActivityUsage",
        "GET /net-api/v1/status",
        "GET /net-api/v1/net/n/tcp",
        "GET /admin/anything",
    ] {
        let reply = net.call(line, None).await;
        assert_eq!((reply.status, reply.text.as_str()), (404, ""), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_and_queries_that_cant_be_read_are_refused_in_the_apis_own_form() {
    let net = Net::new();
    let bearer = format!("Bearer {}", net.requestor.key.expose());
    let auth = ("authorization", bearer.as_str());
    let json_type = ("content-type", "application/json; charset=utf-8");
    let large = format!("\"{}\"", "x".repeat(3_000_000));
    let large: &str = &large;
    let table: [Row<'_>; 14] = [
        (
            "POST /market-api/v1/demands",
            &[auth, json_type],
            "{",
            400,
            "application/json",
            r#"{"message":"Json deserialize error: "#,
        ),
        (
            "POST /market-api/v1/demands",
            &[auth],
            "{}",
            400,
            "application/json",
            r#"{"message":"Content type error"}"#,
        ),
        (
            "POST /market-api/v1/demands",
            &[auth, json_type],
            large,
            400,
            "application/json",
            r#"{"message":"JSON payload ("#,
        ),
        (
            "GET /market-api/v1/demands/abc/events",
            &[auth],
            "",
            400,
            "text/plain",
            r#"{"message":"Path deserialize error: Subscription id [abc] has invalid format."}"#,
        ),
        (
            "GET /market-api/v1/agreementEvents?timeout=x",
            &[auth],
            "",
            400,
            "text/plain",
            "Query deserialize error: invalid float literal",
        ),
        (
            "GET /market-api/v1/agreementEvents?maxEvents=0",
            &[auth],
            "",
            400,
            "application/json",
            r#"{"message":"Invalid maxEvents '0', should be between 1 and 100."}"#,
        ),
        (
            "GET /market-api/v1/agreementEvents?maxEvents=101",
            &[auth],
            "",
            400,
            "application/json",
            r#"{"message":"Invalid maxEvents '101', "#,
        ),
        (
            "GET /market-api/v1/agreementEvents?timeout=1&timeout=2",
            &[auth],
            "",
            400,
            "text/plain",
            "Query deserialize error: duplicate field `timeout`",
        ),
        (
            "GET /market-api/v1/agreementEvents?afterTimestamp=2026-01-01T00:00:00",
            &[auth],
            "",
            400,
            "text/plain",
            "Query deserialize error: premature end of input",
        ),
        (
            "POST /activity-api/v1/activity",
            &[auth, json_type],
            "{",
            400,
            "text/plain",
            "Json deserialize error: ",
        ),
        ("POST /payment-api/v1/allocations", &[auth], "{}", 400, "text/plain", "Content type error"),
        ("POST /payment-api/v1/allocations", &[auth, json_type], large, 413, "text/plain", "JSON payload ("),
        (
            "POST /activity-api/v1/activity/a/exec",
            &[auth, json_type],
            large,
            413,
            "text/plain",
            "JSON payload (",
        ),
        (
            "GET /activity-api/v1/activity",
            &[auth],
            "",
            400,
            "text/plain",
            "Query deserialize error: missing field `agreementId`",
        ),
    ];
    for (line, headers, body, status, content_type, text) in table {
        let reply = net.raw(line, headers, body).await;
        assert_eq!(reply.status, status, "{line}: {}", reply.text);
        assert!(reply.content_type.starts_with(content_type), "{line}: {}", reply.content_type);
        assert!(reply.text.starts_with(text), "{line}: {}", reply.text);
    }
    for time in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00%2B00:00", "2026-01-01%2000:00:00Z"] {
        let path = format!("/market-api/v1/agreementEvents?timeout=0&afterTimestamp={time}");
        net.get(&path).await.expect(200);
    }
    let raw_plus = "/market-api/v1/agreementEvents?timeout=0&afterTimestamp=2026-01-01T00:00:00+00:00";
    net.get(raw_plus).await.expect(400);
}

#[tokio::test(start_paused = true)]
async fn identity_and_version_are_told() {
    let net = Net::new();
    let me = net.get("/me").await.expect(200).json();
    assert_eq!(me, json!({"identity": net.requestor.node, "name": "requestor", "role": "manager"}));
    let version = net.get("/version/get").await.json();
    assert_eq!((&version["current"]["version"], &version["pending"]), (&json!("0.17.6"), &Value::Null));
    net.get("/healthcheck").await.expect(200);
}

#[tokio::test(start_paused = true)]
async fn networks_have_the_daemons_defaults_and_limits() {
    let net = Net::new();
    for (base, body, shown) in [
        ("/net-api/v1", json!({"ip": "192.168.0.0"}), ("192.168.0.0/24", "255.255.255.0", "192.168.0.1")),
        ("/net-api/v2/vpn", json!({"ip": "10.1.2.3/16"}), ("10.1.2.3/16", "255.255.0.0", "10.1.0.1")),
        (
            "/net-api/v1",
            json!({"ip": "10.0.0.0", "mask": "255.0.0.0"}),
            ("10.0.0.0/8", "255.0.0.0", "10.0.0.1"),
        ),
        (
            "/net-api/v1",
            json!({"ip": "10.0.0.0/24", "mask": "255.0.0.0", "gateway": "10.0.0.9"}),
            ("10.0.0.0/24", "255.255.255.0", "10.0.0.9"),
        ),
    ] {
        let network = net.post(&format!("{base}/net"), body).await.expect(200).json();
        assert_eq!(
            (network["ip"].as_str(), network["mask"].as_str(), network["gateway"].as_str()),
            (Some(shown.0), Some(shown.1), Some(shown.2))
        );
        let read = net.get(&format!("/net-api/v1/net/{}", network["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(read.json(), network);
    }
    net.post("/net-api/v1/net", json!({"ip": "nonsense"})).await.expect(400);
    let id = net.post("/net-api/v1/net", json!({"ip": "192.168.7.0/24"})).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let base = format!("/net-api/v1/net/{id}");
    assert_eq!(net.get(&format!("{base}/addresses")).await.json(), json!([{"ip": "192.168.7.1/24"}]));
    for _ in 0..2 {
        assert_eq!(
            net.post(&format!("{base}/addresses"), json!({"ip": "192.168.7.5"})).await.expect(200).text,
            "null"
        );
    }
    assert_eq!(net.get(&format!("{base}/addresses")).await.json().as_array().unwrap().len(), 2);
    let outside = net.post(&format!("{base}/addresses"), json!({"ip": "192.168.8.5"})).await.expect(400);
    assert_eq!(outside.message(), "Network not found for IP address: 192.168.8.5");
    for node in ["0xno-hex", net.port.node_text().as_str()] {
        net.post(&format!("{base}/nodes"), json!({"id": node, "ip": "192.168.7.2"})).await.expect(200);
    }
    let nodes = net.get(&format!("{base}/nodes")).await.json();
    assert_eq!(nodes, json!([{"id": "0xno-hex", "ip": "192.168.7.2"}]), "the address stays where it is");
    for node in ["0xno-hex", net.port.node_text().as_str()] {
        net.delete(&format!("{base}/nodes/{node}")).await.expect(200);
    }
    assert_eq!(net.get(&format!("{base}/nodes")).await.json(), json!([]));
    let other = net.world.add_requestor("other");
    let foreign = net.call_as(other.key.expose(), &format!("GET {base}"), None).await.expect(404);
    assert_eq!(foreign.message(), "Network not found", "who has no network is told so");
    let body = json!({"ip": "192.168.7.0/24"});
    net.call_as(other.key.expose(), "POST /net-api/v1/net", Some(&body)).await.expect(200);
    let foreign = net.call_as(other.key.expose(), &format!("GET {base}"), None).await.expect(403);
    assert_eq!(foreign.text, "");
    assert_eq!(net.delete(&base).await.expect(200).text, "null");
    net.get(&base).await.expect(403);
}

trait NodeText {
    fn node_text(&self) -> String;
}

impl<P: golem_devnet::port::Port> NodeText for P {
    fn node_text(&self) -> String {
        self.node().to_string()
    }
}
