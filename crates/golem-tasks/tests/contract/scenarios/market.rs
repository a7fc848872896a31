//! Demands, offers and how they meet.

use std::collections::HashSet;
use std::time::Duration;

use golem_devnet::provider::{ProviderConfig, ProviderHandle, Vanishing};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::DemandId;
use yagna_api::market::{BASE, ListDemands, ProposalState, Unsubscribe};
use yagna_api::properties::name;

use crate::hand::{Hand, in_time, now};
use crate::rental::{Terms, proposal, publish};
use crate::stage::{Scene, Stage};

/// Far longer than anything takes that doesn't wait for its time-out.
const LONG: Duration = Duration::from_secs(20);

pub(super) async fn a_demand_lives_until_it_is_withdrawn(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let body =
        json!({"properties": {"golem": {"a": [1, 2.0, null, "x"], "b.c": 8.0}}, "constraints": "(a=*)"});
    let published = hand.post(&format!("{BASE}/demands"), &body).await.expect(201);
    stage.look("publish", &published);
    let id = published.id();
    let list = async || hand.get(&format!("{BASE}/demands")).await.keep(|demand| demand["demandId"] == *id);
    stage.look("list", &list().await);
    let path = format!("{BASE}/demands/{id}");
    stage.look("a poll ends without events", &hand.get(&format!("{path}/events?timeout=0.1")).await);
    stage.look("withdraw", &hand.delete(&path).await);
    stage.look("withdraw again", &hand.delete(&path).await);
    stage.look("poll a withdrawn demand", &hand.get(&format!("{path}/events?timeout=5")).await);
    stage.look("the list is empty", &list().await);
    stage.close().await;
}

pub(super) async fn a_demand_has_many_forms(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let list = format!("{BASE}/demands");
    for (what, body) in [
        ("flat", json!({"properties": {"golem.a.b": 1, "golem.a.c": "x"}, "constraints": "()"})),
        ("nested", json!({"properties": {"golem": {"a": {"b": 1, "c": "x"}}}, "constraints": "()"})),
        ("mixed", json!({"properties": {"golem.a": {"b.c": {"d": true}}, "e": {}}, "constraints": "()"})),
        ("one name twice", json!({"properties": {"a": {"b": 1}, "a.b": 2}, "constraints": "()"})),
        (
            "odd values",
            json!({"properties": {"a": [], "b": [[1], {"c": 2}], "d": null, "e": 1e30, "f": -0.0}, "constraints": "()"}),
        ),
        (
            "odd names",
            json!({"properties": {"": 1, "a..b": 2, "c?": 3, "d e": 4, "é": 5}, "constraints": "()"}),
        ),
        ("more than is asked for", json!({"properties": {}, "constraints": "", "demandId": "x", "ttl": 5})),
        ("a list for properties", json!({"properties": ["a", 1], "constraints": "()"})),
        ("a text for properties", json!({"properties": "a", "constraints": "()"})),
        ("constraints that can't be read", json!({"properties": {}, "constraints": "(((("})),
        ("white space", json!({"properties": {"a": " x\n"}, "constraints": " ( a = b )\n"})),
        ("without properties", json!({"constraints": "()"})),
        ("without constraints", json!({"properties": {}})),
        ("numbers for constraints", json!({"properties": {}, "constraints": 1})),
        ("a list for all", json!([{}, "()"])),
        ("null", Value::Null),
    ] {
        let published = hand.post(&list, &body).await;
        stage.look(what, &published);
        if published.status == 201 {
            let id = published.id();
            stage.look("listed", &hand.get(&list).await.keep(|demand| demand["demandId"] == *id));
            hand.delete(&format!("{list}/{id}")).await.expect(204);
        }
    }
    stage.close().await;
}

pub(super) async fn demands_are_listed_by_their_age(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let mut published = Vec::new();
    for number in 0..3 {
        let terms = Terms::usual(&stage).with("golem.number", number);
        published.push(publish(hand, &terms).await);
    }
    let listed = hand.call(&ListDemands).await.items.into_iter().map(|demand| demand.demand_id);
    assert_eq!(listed.filter(|id| published.contains(id)).collect::<Vec<_>>(), published);
    for demand in published {
        assert!(hand.call(&Unsubscribe(demand)).await);
    }
    stage.close().await;
}

pub(super) async fn an_offer_is_found(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let initial = proposal(hand, &demand, ProposalState::Initial).await;
    assert_eq!(&initial.issuer_id, stage.provider("solo").node());
    assert_eq!(initial.prev_proposal_id, None);
    let path = format!("{BASE}/demands/{demand}/proposals/{}", initial.proposal_id);
    stage.look("the offer as an initial proposal", &hand.get(&path).await.expect(200));
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn the_event_of_an_offer(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let events = format!("{BASE}/demands/{demand}/events");
    stage.look("the event", &hand.get(&format!("{events}?timeout=20")).await);
    stage.look("it is taken", &hand.get(&format!("{events}?timeout=0")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// What a demand asks of an offer. A demand that finds it anyway comes last: when it has, the others were looked at.
pub(super) async fn constraints_decide_what_is_found(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let usual = Terms::usual(&stage);
    let asking = |constraints: &str| json!({"properties": usual.properties, "constraints": constraints});
    let mut cases: Vec<_> = CONSTRAINTS.iter().map(|text| (text.to_string(), asking(text))).collect();
    let subnet = format!("({}={})", name::SUBNET, stage.subnet);
    cases.push(("the subnet".into(), asking(&subnet)));
    cases.push(("the subnet and more".into(), asking(&format!("(&{subnet}(golem.runtime.name=vm))"))));
    cases.push(("the subnet and less".into(), asking(&format!("(&{subnet}(golem.runtime.name=wasm))"))));
    cases.push(("another subnet".into(), asking(&format!("({}=elsewhere)", name::SUBNET))));
    findings(&stage, cases).await;
    stage.close().await;
}

const CONSTRAINTS: [&str; 71] = [
    "",
    " ",
    "()",
    "(&)",
    "(|)",
    "(!)",
    "(",
    "((((",
    "(golem.runtime.name=vm",
    "golem.runtime.name=vm",
    "(golem.runtime.name=vm)(golem.runtime.name=vm)",
    "(golem.runtime.name=vm)x",
    "(golem.runtime.name)",
    "(golem.runtime.name=)",
    "(=vm)",
    "(golem.runtime.name=vm)",
    "(golem.runtime.name=VM)",
    "(golem.runtime.name=\"vm\")",
    "(golem.runtime.name= vm)",
    "(golem.runtime.name =vm)",
    "( golem.runtime.name=vm)",
    " ( & (golem.runtime.name=vm)\n\t(golem.inf.mem.gib>1) ) ",
    "(golem.runtime.name=*)",
    "(golem.runtime.name=v*)",
    "(golem.runtime.name=*m)",
    "(golem.runtime.name=v*m)",
    "(golem.runtime.name=v*x)",
    "(golem.runtime.name>vl)",
    "(golem.runtime.name>=vm)",
    "(golem.runtime.name<vl)",
    "(golem.runtime.name>5)",
    "(golem.inf.mem.gib=8)",
    "(golem.inf.mem.gib=8.0)",
    "(golem.inf.mem.gib=8.000001)",
    "(golem.inf.mem.gib>8)",
    "(golem.inf.mem.gib>=8)",
    "(golem.inf.mem.gib<=8)",
    "(golem.inf.mem.gib<8)",
    "(golem.inf.mem.gib>10)",
    "(golem.inf.mem.gib<10)",
    "(golem.inf.mem.gib>=8e0)",
    "(golem.inf.mem.gib>few)",
    "(golem.inf.mem.gib=8*)",
    "(golem.inf.mem.gib=*)",
    "(golem.com.payment.protocol.version>=3)",
    "(golem.com.payment.protocol.version>=\"3\")",
    "(golem.runtime.version=0.5.3)",
    "(golem.runtime.version>0.10.0)",
    "(golem.runtime.version$v>0.4.10)",
    "(golem.runtime.version$v<0.10.0)",
    "(golem.runtime.version$v>0.10.0)",
    "(golem.runtime.version@v>0.4.10)",
    "(golem.srv.caps.multi-activity=true)",
    "(golem.srv.caps.multi-activity=false)",
    "(golem.srv.caps.multi-activity=1)",
    "(golem.srv.caps.multi-activity>false)",
    "(golem.runtime.capabilities=vpn)",
    "(golem.runtime.capabilities=gpu)",
    "(golem.runtime.capabilities=[vpn])",
    "(golem.runtime.capabilities=[start-entrypoint,manifest-support,vpn,inet])",
    "(golem.runtime.capabilities=*)",
    "(golem.runtime.capabilities>vpn)",
    "(golem.nothing=*)",
    "(golem.nothing=1)",
    "(golem.nothing<1)",
    "(!(golem.nothing=*))",
    "(!(golem.nothing=1))",
    "(!(golem.runtime.name=wasm))",
    "(|(golem.nothing=1)(golem.runtime.name=vm))",
    "(&(golem.nothing=1)(golem.runtime.name=vm))",
    "(|(golem.runtime.name=wasm)(!(&(golem.inf.mem.gib>1)(golem.inf.mem.gib>9))))",
];

/// What a demand says of itself, as far as the offer asks for it: its subnet, and an end that is yet to come.
pub(super) async fn properties_decide_who_finds(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let (subnet, expires) = (stage.subnet.as_str(), in_time(Duration::from_secs(1200)).as_millisecond());
    let past = now().as_millisecond() - 3_600_000;
    let subnet_only = json!({ name::SUBNET: subnet });
    let with_end = |end: Value| json!({ name::SUBNET: subnet, name::EXPIRATION: end });
    let cases = [
        ("nothing", json!({})),
        ("flat", with_end(json!(expires))),
        (
            "nested",
            json!({"golem": {"node": {"debug": {"subnet": subnet}}, "srv": {"comp": {"expiration": expires}}}}),
        ),
        (
            "mixed",
            json!({"golem.node": {"debug.subnet": subnet}, "golem": {"srv.comp": {"expiration": expires}}}),
        ),
        ("no end", subnet_only),
        ("an end in the past", with_end(json!(past))),
        ("an end as text", with_end(json!(expires.to_string()))),
        ("an end that isn't whole", with_end(json!(1e13 + 0.5))),
        ("no end but null", with_end(Value::Null)),
        ("another subnet", json!({ name::SUBNET: "elsewhere", name::EXPIRATION: expires })),
        (
            "a subnet in other letters",
            json!({ name::SUBNET: subnet.to_uppercase(), name::EXPIRATION: expires }),
        ),
        ("a list of subnets", json!({ name::SUBNET: ["elsewhere", subnet], name::EXPIRATION: expires })),
        ("a number for the subnet", json!({ name::SUBNET: 5, name::EXPIRATION: expires })),
    ];
    let constraints = format!("({}={subnet})", name::SUBNET);
    let body = |properties: Value| json!({"properties": properties, "constraints": constraints});
    findings(&stage, cases.map(|(what, properties)| (what.to_owned(), body(properties))).into()).await;
    stage.close().await;
}

/// Writes down which of these find the stage's only offer.
async fn findings(stage: &Stage, cases: Vec<(String, Value)>) {
    let hand = &stage.hand;
    let mut demands = Vec::new();
    for (what, body) in cases {
        let id = hand.post(&format!("{BASE}/demands"), &body).await.expect(201).id();
        demands.push((what, DemandId::new(id)));
    }
    let last = publish(hand, &Terms::usual(stage)).await;
    proposal(hand, &last, ProposalState::Initial).await;
    for (what, demand) in &demands {
        let found = events(hand, demand, 20).await.len();
        assert!(found <= 1, "{what}: the same offer {found} times");
        stage.note(&format!("{what:?} {}", if found == 1 { "finds it" } else { "finds nothing" }));
    }
    for (_, demand) in demands {
        hand.call(&Unsubscribe(demand)).await;
    }
    hand.call(&Unsubscribe(last)).await;
}

pub(super) async fn events_are_taken_a_few_at_a_time(scene: Scene) {
    let stage = scene.open(["a", "b", "c", "d", "e"].map(ProviderConfig::new)).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let mut issuers = HashSet::new();
    let begin = Instant::now();
    // Their order isn't looked at: offers that come at the same moment may swap places.
    while issuers.len() < 5 {
        assert!(begin.elapsed() < LONG, "only {issuers:?} were found");
        let reply =
            hand.get(&format!("{BASE}/demands/{demand}/events?timeout=5&maxEvents=2")).await.expect(200);
        let list = reply.json();
        let list = list.as_array().expect("a list");
        assert!(list.len() <= 2, "{reply:?}");
        for event in list {
            assert!(
                issuers.insert(event["proposal"]["issuerId"].clone()),
                "a second event of an offer: {event}"
            );
        }
    }
    stage.look("nothing is left", &hand.get(&format!("{BASE}/demands/{demand}/events?timeout=0")).await);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn polls_have_limits(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    for query in [
        "maxEvents=0",
        "maxEvents=101",
        "maxEvents=-1",
        "maxEvents=1.5",
        "maxEvents=x",
        "maxEvents=",
        "maxEvents=99999999999",
        "maxEvents=100&timeout=0",
        "maxEvents=1&timeout=-1",
        "timeout=x",
        "timeout=",
        "timeout=1,5",
        "timeout=0&timeout=0",
        "timeout=NaN",
        "timeout=1e-3",
        "timeout=%30",
        "timeout=0&pollTimeout=x&unknown=5",
        "pollTimeout=0&timeout=0.0",
    ] {
        stage.look(query, &hand.get(&format!("{BASE}/demands/{demand}/events?{query}")).await);
    }
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn a_withdrawal_ends_all_polls(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let events = format!("{BASE}/demands/{demand}/events?timeout=50");
    let begin = Instant::now();
    let withdraw = async {
        // Nothing tells that a poll waits. One that comes too late gets the same answer.
        sleep(Duration::from_millis(300)).await;
        hand.call(&Unsubscribe(demand.clone())).await
    };
    let (first, second, withdrawn) = tokio::join!(hand.get(&events), hand.get(&events), withdraw);
    assert!(withdrawn);
    assert!(begin.elapsed() < LONG, "they waited {:?}", begin.elapsed());
    stage.look("one poll", &first);
    stage.look("another poll", &second);
    stage.close().await;
}

pub(super) async fn an_event_goes_to_one_of_two_polls(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let events = format!("{BASE}/demands/{demand}/events?timeout=30");
    let polls = [hand.get(&events), hand.get(&events)].map(Box::pin);
    let (first, _, others) = futures_util::future::select_all(polls).await;
    assert_eq!(first.json().as_array().map(Vec::len), Some(1), "{first:?}");
    // The other one would wait on; it learns of the withdrawal and of nothing else.
    let withdrawal = Unsubscribe(demand);
    let (others, _) = tokio::join!(futures_util::future::join_all(others), hand.call(&withdrawal));
    assert_eq!(others.into_iter().map(|reply| reply.status).collect::<Vec<_>>(), [404]);
    stage.close().await;
}

pub(super) async fn a_later_offer_is_found_too(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let first = proposal(hand, &demand, ProposalState::Initial).await;
    let poll = proposal(hand, &demand, ProposalState::Initial);
    let (second, ()) = tokio::join!(poll, offer_anew(stage.provider("solo")));
    assert_eq!(second.issuer_id, first.issuer_id);
    assert_ne!(second.proposal_id, first.proposal_id);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

pub(super) async fn ids_that_are_none(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let (hex32, hex64) = ("0123456789abcdef0123456789abcdef", "0123456789abcdef".repeat(4));
    for id in [
        "abc".to_owned(),
        hex32.to_owned(),
        format!("{hex32}-{}", "0".repeat(63)),
        format!("{hex32}-{}", "0".repeat(65)),
        format!("{hex32}-{}", "x".repeat(64)),
        format!("{}-{}", hex32.to_uppercase(), hex64.to_uppercase()),
        format!("R-{hex64}"),
        "-".into(),
        "%20".into(),
        "a%2Fb".into(),
        format!("{hex32}-{hex64}"),
    ] {
        let path = format!("{BASE}/demands/{id}");
        stage.look(&format!("withdraw {id}"), &hand.delete(&path).await);
        stage.look(&format!("poll {id}"), &hand.get(&format!("{path}/events?timeout=0")).await);
    }
    stage.close().await;
}

pub(super) async fn a_scan_shows_each_offer_once(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let scan = format!("{BASE}/scan");
    let here = format!("({}={})", name::SUBNET, stage.subnet);
    let started = hand.post(&scan, &json!({"type": "offer", "timeout": 60, "constraints": here})).await;
    // A daemon counts its scans.
    stage.look_past("begin", &started, &[""]);
    let mine = format!("{scan}/{}", started.id());
    stage.look("the offer", &hand.get(&format!("{mine}/events?timeout=20")).await);
    stage.look("no more", &hand.get(&format!("{mine}/events?timeout=0.1")).await);
    offer_anew(stage.provider("solo")).await;
    let reply = hand.get(&format!("{mine}/events?timeout=20&maxEvents=1")).await.expect(200);
    assert_eq!(reply.json()[0]["providerId"], stage.provider("solo").node().as_str(), "{reply:?}");
    for query in ["timeout=x", "maxEvents=0&timeout=0", "maxEvents=x", "peerId=x&timeout=0"] {
        stage.look(query, &hand.get(&format!("{mine}/events?{query}")).await);
    }
    let other = stage.another_hand().await;
    let reply = other.get(&format!("{mine}/events?timeout=0")).await;
    stage.look("somebody else polls", &reply);
    stage.look("somebody else ends it", &other.delete(&mine).await);
    stage.look("end", &hand.delete(&mine).await);
    hand.delete(&mine).await.expect(404);
    hand.get(&format!("{mine}/events?timeout=0")).await.expect(404);
    stage.close().await;
}

pub(super) async fn a_scan_is_streamed(scene: Scene) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let hand = &stage.hand;
    let scan = format!("{BASE}/scan");
    let here = format!("({}={})", name::SUBNET, stage.subnet);
    let body = json!({"type": "offer", "constraints": here});
    let mine = format!("{scan}/{}", hand.post(&scan, &body).await.expect(201).id());
    let request = yagna_api::Request::get(format!("{mine}/events")).header("accept", "text/event-stream");
    let mut stream = hand.stream(request).await;
    stage.look("it begins", &stream.reply);
    let reply = stream.until(|text| text.contains("\n\n")).await;
    let (head, data) = reply.text.trim_end().split_once("\ndata: ").unwrap_or_else(|| panic!("{reply:?}"));
    assert_eq!(head, "event: offer", "{reply:?}");
    let data: Value = serde_json::from_str(data.trim_start()).unwrap_or_else(|_| panic!("{reply:?}"));
    assert_eq!(data["providerId"], stage.provider("solo").node().as_str());
    assert!(data["offerId"].is_string() && data["timestamp"].is_string(), "{data}");
    drop(stream);
    hand.delete(&mine).await.expect(204);
    stage.close().await;
}

pub(super) async fn scans_that_are_none(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let scan = format!("{BASE}/scan");
    for (what, body) in [
        ("no type", json!({})),
        ("an unknown type", json!({"type": "agreement"})),
        ("a type in capitals", json!({"type": "Offer"})),
        ("a time-out in words", json!({"type": "offer", "timeout": "long"})),
        ("a time-out below zero", json!({"type": "offer", "timeout": -1})),
    ] {
        stage.look(what, &hand.post(&scan, &body).await);
    }
    for constraints in [
        "",
        " ",
        "(",
        "( ",
        "((",
        "((((",
        "(a",
        "(a=",
        "(a<",
        "(a<=",
        "(a=b",
        "(a=*",
        "(&",
        "(&(",
        "(&(a=b)",
        "(!",
        "(!(a=b)",
        "(|(a=b)(c=",
        "a=b",
        "(a)",
        "(a~b)",
        "(a=*b)",
        "(&a=b)",
        "( )",
        " (a=b",
        "(&(a=b)(c=d)",
    ] {
        let body = json!({"type": "offer", "constraints": constraints});
        stage.look(&format!("constraints {constraints:?}"), &hand.post(&scan, &body).await);
    }
    stage.look("no body", &hand.post_nothing(&scan).await);
    for id in ["999999", "x", "-1"] {
        stage.look(&format!("poll {id}"), &hand.get(&format!("{scan}/{id}/events?timeout=0")).await);
        stage.look(&format!("end {id}"), &hand.delete(&format!("{scan}/{id}")).await);
    }
    stage.close().await;
}

/// Demands can be looked for, but none is ever found, not even one's own.
pub(super) async fn a_scan_shows_no_demands(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let demand = publish(hand, &Terms::usual(&stage)).await;
    let here = format!("({}={})", name::SUBNET, stage.subnet);
    let scan = format!("{BASE}/scan");
    let started = hand.post(&scan, &json!({"type": "demand", "timeout": 60, "constraints": here})).await;
    let mine = format!("{scan}/{}", started.expect(201).id());
    stage.look("nothing", &hand.get(&format!("{mine}/events?timeout=1")).await);
    hand.delete(&mine).await.expect(204);
    hand.call(&Unsubscribe(demand)).await;
    stage.close().await;
}

/// Lets a provider die and come back, with a new offer in place of its last one.
pub(super) async fn offer_anew(provider: &ProviderHandle) {
    provider.change(|behaviour| {
        behaviour.vanishes = Some(Vanishing::After(Duration::ZERO));
        behaviour.returns_after = Some(Duration::from_millis(300));
    });
    while !provider.is_gone() {
        sleep(Duration::from_millis(5)).await;
    }
    provider.change(|behaviour| behaviour.vanishes = None);
    provider.published().await;
}

async fn events(hand: &Hand, demand: &DemandId, max: u8) -> Vec<Value> {
    let path = format!("{BASE}/demands/{demand}/events?timeout=0&maxEvents={max}");
    match hand.get(&path).await.expect(200).json() {
        Value::Array(events) => events,
        other => panic!("no list: {other}"),
    }
}
