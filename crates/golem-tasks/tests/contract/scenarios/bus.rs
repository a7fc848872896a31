//! Services on the bus that nobody calls, and virtual networks in which nobody is.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use yagna_api::gsb::{BindServices, Listen, SUBPROTOCOL, UnbindServices, socket_path};
use yagna_client::{BusValue, Socket};

use crate::hand::Hand;
use crate::stage::Scene;

const SERVICES: &str = "/gsb-api/v1/services";
const NET: &str = "/net-api/v1/net";

fn listen(on: &str) -> Value {
    json!({"listen": {"on": on, "components": ["GetMetadata", "GetChunk"]}})
}

pub(super) async fn an_address_is_bound_once(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let body = listen("/public/gftp/bound-once");
    let bound = hand.post(SERVICES, &body).await;
    stage.look("bind", &bound);
    stage.look("bind again", &hand.post(SERVICES, &body).await);
    let id = bound.json()["servicesId"].as_str().expect("an id").to_owned();
    let path = format!("{SERVICES}/{id}");
    stage.look("no upgrade", &hand.get(&path).await);
    stage.look("unbind", &hand.delete(&path).await);
    stage.look("unbind again", &hand.delete(&path).await);
    stage.look("no upgrade after that", &hand.get(&path).await);
    let bound = hand.post(SERVICES, &body).await;
    stage.look("bind after that", &bound);
    stage.look("unbind at last", &hand.delete(&path).await);
    stage.close().await;
}

pub(super) async fn addresses_have_many_forms(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for on in ["", "/", "local-forms", "/local/forms", "/public/forms/", "/public/forms/a b/ü"] {
        let bound = hand.post(SERVICES, &listen(on)).await;
        stage.look(&format!("bind `{on}`"), &bound);
        if bound.status == 201 {
            let id = bound.json()["servicesId"].as_str().expect("an id").to_owned();
            stage.look("unbind", &hand.delete(&format!("{SERVICES}/{id}")).await);
        }
    }
    for (what, body) in [
        ("no components", json!({"listen": {"on": "/public/forms-none", "components": []}})),
        ("components missing", json!({"listen": {"on": "/public/forms-missing"}})),
        ("an address that is a number", json!({"listen": {"on": 1, "components": []}})),
        ("no address", json!({"listen": {"components": ["A"]}})),
        ("nothing to listen to", json!({})),
        ("a list", json!([])),
        (
            "other fields besides",
            json!({"listen": {"on": "/public/forms-more", "components": ["A"], "x": 1}, "y": 2}),
        ),
    ] {
        stage.look(what, &hand.post(SERVICES, &body).await);
    }
    stage.look("no body", &hand.post_nothing(SERVICES).await);
    for on in ["/public/forms-none", "/public/forms-more"] {
        let unbound = hand.delete(&format!("{SERVICES}/{}", base64url(on))).await;
        stage.look(&format!("unbind `{on}`"), &unbound);
    }
    stage.look("a list of all", &hand.get(SERVICES).await);
    stage.close().await;
}

pub(super) async fn unknown_services_are_refused(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for (what, id) in [
        ("unknown", base64url("/public/unknown").as_str()),
        ("no base64", "@@"),
        ("not whole", "a"),
        ("no text", "_w"),
    ] {
        let path = format!("{SERVICES}/{id}");
        stage.look(&format!("{what}: unbind"), &hand.delete(&path).await);
        stage.look(&format!("{what}: no upgrade"), &hand.get(&path).await);
        let refused = hand.socket(&path, Some(SUBPROTOCOL)).await.expect_err("a refusal");
        stage.look(&format!("{what}: a socket"), &refused);
    }
    stage.close().await;
}

/// The daemon keeps no book of who bound an address: another identity of it may unbind it.
pub(super) async fn services_are_everybodys(scene: Scene) {
    let stage = scene.open([]).await;
    let other = stage.another_hand().await;
    let on = "/public/gftp/everybodys";
    stage.look("bind", &stage.hand.post(SERVICES, &listen(on)).await);
    stage.look("another binds the same", &other.post(SERVICES, &listen(on)).await);
    let path = format!("{SERVICES}/{}", base64url(on));
    drop(other.socket(&path, Some(SUBPROTOCOL)).await.expect("a socket for another"));
    stage.look("another unbinds it", &other.delete(&path).await);
    stage.look("unbind", &stage.hand.delete(&path).await);
    stage.close().await;
}

/// What becomes of the newer one isn't looked at: the real daemon may close it too, when the older one says its farewell.
pub(super) async fn a_newer_socket_replaces_an_older_one(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let (path, bound) = bind(hand, "/public/gftp/replaced").await;
    let mut first = hand.socket(&path, Some(SUBPROTOCOL)).await.expect("a socket");
    let second = hand.socket(&path, None).await.expect("a socket without subprotocol");
    stage.note(&format!("the first one ends: {}", farewell(&mut first).await));
    drop(second);
    assert!(hand.call(&UnbindServices(bound)).await, "bound until now");
    stage.close().await;
}

pub(super) async fn a_socket_ends_with_its_services(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let (path, bound) = bind(hand, "/public/gftp/unbound").await;
    let mut socket = hand.socket(&path, Some(SUBPROTOCOL)).await.expect("a socket");
    assert!(hand.call(&UnbindServices(bound.clone())).await, "bound until now");
    stage.note(&format!("it ends: {}", farewell(&mut socket).await));
    assert!(!hand.call(&UnbindServices(bound)).await, "unbound by now");
    stage.close().await;
}

/// What answers nothing harms nobody; what can't be read ends the socket.
pub(super) async fn answers_to_nobody_do_no_harm(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let (path, bound) = bind(hand, "/public/gftp/to-nobody").await;
    let mut socket = hand.socket(&path, Some(SUBPROTOCOL)).await.expect("a socket");
    let answer = BusValue::map([("id", "a-1".into()), ("payload", "x".into())]);
    socket.send(answer.encode()).await.expect("it is open");
    let nothing = BusValue::map([("id", BusValue::from("a-2"))]);
    socket.send(nothing.encode()).await.expect("it is open still");
    stage.note(&format!("no payload: {}", farewell(&mut socket).await));
    assert!(hand.call(&UnbindServices(bound)).await, "bound until now");
    stage.close().await;
}

pub(super) async fn networks_have_many_forms(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for body in [
        json!({"ip": "192.168.7.0"}),
        json!({"ip": "192.168.7.0", "mask": "255.255.255.0"}),
        json!({"ip": "192.168.7.9/24"}),
        json!({"ip": "10.0.0.0/8", "mask": "255.255.255.0"}),
        json!({"ip": "10.1.0.0", "mask": "255.255.0.0", "gateway": "10.1.0.9"}),
        json!({"ip": "10.1.0.0", "gateway": "10.2.0.1"}),
        json!({"ip": "10.1.0.0", "gateway": "here"}),
        json!({"ip": "10.1.0.0", "mask": "255.0.255.0"}),
        json!({"ip": "10.1.0.0", "mask": "24"}),
        json!({"ip": "10.1.0.0/33"}),
        json!({"ip": "10.1.0.0/30"}),
        json!({"ip": "10.1.0.0/32"}),
        json!({"ip": "10.1.0"}),
        json!({"ip": ""}),
        json!({"ip": 10}),
        json!({}),
    ] {
        let made = hand.post(NET, &body).await;
        stage.look(&format!("create {body}"), &made);
        if made.status == 200 {
            let id = made.json()["id"].as_str().expect("an id").to_owned();
            stage.look("its addresses", &hand.get(&format!("{NET}/{id}/addresses")).await);
            stage.look("remove", &hand.delete(&format!("{NET}/{id}")).await);
        }
    }
    stage.close().await;
}

pub(super) async fn a_network_has_addresses_and_nodes(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let made = hand.post(NET, &json!({"ip": "192.168.8.0/24"})).await.expect(200).json();
    let net = format!("{NET}/{}", made["id"].as_str().expect("an id"));
    stage.look("read", &hand.get(&net).await);
    stage.look("all", &hand.get(NET).await.keep(|net| net["id"] == made["id"]));
    stage.look("under its other name", &hand.get(&net.replace("/net-api/v1/", "/net-api/v2/vpn/")).await);
    for ip in ["192.168.8.5", "192.168.8.5", "192.168.8.6/24", "192.168.9.1", "x", ""] {
        stage.look(&format!("take {ip}"), &hand.post(&format!("{net}/addresses"), &json!({"ip": ip})).await);
    }
    stage.look("addresses", &hand.get(&format!("{net}/addresses")).await);
    let (one, two) = (format!("0x{}", "1".repeat(40)), format!("0x{}", "2".repeat(40)));
    for (id, ip) in [
        (one.as_str(), "192.168.8.10"),
        (&one, "192.168.8.11"),
        (&two, "192.168.8.11"),
        (&two, "192.168.9.11"),
        (&two, "x"),
    ] {
        let body = json!({"id": id, "ip": ip});
        stage.look(&format!("node {id} at {ip}"), &hand.post(&format!("{net}/nodes"), &body).await);
    }
    stage.look("nodes", &sorted(hand.get(&format!("{net}/nodes")).await));
    stage.look("a node goes", &hand.delete(&format!("{net}/nodes/{one}")).await);
    stage.look("it goes again", &hand.delete(&format!("{net}/nodes/{one}")).await);
    stage.look("nodes without it", &sorted(hand.get(&format!("{net}/nodes")).await));
    stage.look("remove", &hand.delete(&net).await);
    stage.close().await;
}

/// Who has no network at all is told that there is none; who has one, that others are forbidden.
pub(super) async fn a_network_is_its_owners_alone(scene: Scene) {
    let stage = scene.open([]).await;
    let other = stage.another_hand().await;
    let made = stage.hand.post(NET, &json!({"ip": "192.168.9.0/24"})).await.expect(200).json();
    let own = format!("{NET}/{}", made["id"].as_str().expect("an id"));
    let unknown = format!("{NET}/{}", "0".repeat(32));
    stage.look("without one: read another's", &other.get(&own).await);
    stage.look("without one: read an unknown one", &other.get(&unknown).await);
    stage.look("without one: remove it", &other.delete(&unknown).await);
    let made = other.post(NET, &json!({"ip": "192.168.9.0/24"})).await.expect(200).json();
    let others = format!("{NET}/{}", made["id"].as_str().expect("an id"));
    for (what, net) in [("another's", &own), ("unknown", &unknown), ("odd", &format!("{NET}/x"))] {
        stage.look(&format!("{what}: read"), &other.get(net).await);
        stage.look(&format!("{what}: addresses"), &other.get(&format!("{net}/addresses")).await);
        let body = json!({"ip": "192.168.9.5"});
        stage.look(&format!("{what}: take one"), &other.post(&format!("{net}/addresses"), &body).await);
        stage.look(&format!("{what}: nodes"), &other.get(&format!("{net}/nodes")).await);
        let body = json!({"id": format!("0x{}", "1".repeat(40)), "ip": "192.168.9.5"});
        stage.look(&format!("{what}: add one"), &other.post(&format!("{net}/nodes"), &body).await);
        stage.look(&format!("{what}: remove one"), &other.delete(&format!("{net}/nodes/0x1")).await);
        stage.look(&format!("{what}: remove"), &other.delete(net).await);
    }
    other.delete(&others).await.expect(200);
    stage.look("remove", &stage.hand.delete(&own).await);
    stage.look("remove again", &stage.hand.delete(&own).await);
    stage.close().await;
}

pub(super) async fn nobody_answers_in_an_empty_network(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let made = hand.post(NET, &json!({"ip": "192.168.10.0/24"})).await.expect(200).json();
    let net = format!("{NET}/{}", made["id"].as_str().expect("an id"));
    let unknown = format!("{NET}/{}", "0".repeat(32));
    let unknown = format!("{unknown}/tcp/192.168.10.2/22");
    stage.look("a network that isn't there", &hand.socket(&unknown, None).await.expect_err("a refusal"));
    stage.look("the same without upgrade", &hand.get(&unknown).await);
    let nobody = format!("{net}/tcp/192.168.10.2/22");
    // Both are refused only after a while.
    let (refused, plain) = tokio::join!(hand.socket(&nobody, None), hand.get(&nobody));
    stage.look("nobody there", &refused.expect_err("a refusal"));
    stage.look("the same without upgrade", &plain);
    stage.look("no address", &hand.get(&format!("{net}/tcp/x/22")).await);
    stage.look("no port", &hand.get(&format!("{net}/tcp/192.168.10.2/x")).await);
    stage.look("a port too many", &hand.get(&format!("{net}/tcp/192.168.10.2/65536")).await);
    stage.look("a list of connections", &hand.get(&format!("{net}/tcp")).await);
    stage.look("remove", &hand.delete(&net).await);
    stage.close().await;
}

async fn bind(hand: &Hand, on: &str) -> (String, yagna_api::ServicesId) {
    let listen = Listen { on: on.to_owned(), components: vec!["GetChunk".to_owned()] };
    let bound = hand.call(&BindServices(listen.clone())).await;
    assert_eq!(bound.listen, listen);
    (socket_path(&bound.services_id), bound.services_id)
}

/// The daemon's last word.
async fn farewell(socket: &mut Socket) -> String {
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(10), end).await;
    assert!(ended.is_ok(), "the socket stays open");
    socket
        .close_reason()
        .map_or_else(|| "without a word".to_owned(), |(code, words)| format!("{code} {words}"))
}

/// The list in an order of its own: the daemon keeps none.
fn sorted(mut reply: crate::hand::Reply) -> crate::hand::Reply {
    let mut body = reply.json();
    body.as_array_mut().expect("a list").sort_by_key(Value::to_string);
    reply.text = body.to_string();
    reply
}

/// As the daemon makes ids of addresses.
fn base64url(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        let digits = (0..=three.len()).map(|at| char::from(DIGITS[bits >> (18 - 6 * at) & 63]));
        encoded.extend(digits);
    }
    encoded
}
