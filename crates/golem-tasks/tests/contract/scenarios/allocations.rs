//! Money set aside: how it is asked for, changed, given back, and what a demand must say of it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use yagna_api::payment::{GetAllocation, ReleaseAllocation};
use yagna_api::{AllocationId, Glm};

use crate::hand::{Reply, in_time};
use crate::rental::allocate;
use crate::stage::{PLATFORM, Scene, Stage};

const ALLOCATIONS: &str = "/payment-api/v1/allocations";
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

pub(super) async fn an_allocation_is_made_and_given_back(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let made = hand.post(ALLOCATIONS, &request("10")).await.expect(201);
    stage.look("make one", &made);
    let id = id_of(&made);
    let path = format!("{ALLOCATIONS}/{id}");
    stage.look("read it", &hand.get(&path).await);
    let listed = hand.get(ALLOCATIONS).await.keep(|item| item["allocationId"] == id);
    stage.look("find it in the list", &listed);
    stage.look("nothing is spent", &hand.get(&format!("{path}/expenditures")).await);
    stage.look("nothing is ordered", &hand.get(&format!("{path}/orders")).await);
    stage.look("give it back", &hand.delete(&path).await);
    stage.look("read it again", &hand.get(&path).await);
    stage.look("give it back again", &hand.delete(&path).await);
    stage.look("change it", &hand.put(&path, &json!({"totalAmount": "11"})).await);
    stage.look("what was spent of it", &hand.get(&format!("{path}/expenditures")).await);
    let listed = hand.get(ALLOCATIONS).await.keep(|item| item["allocationId"] == id);
    stage.look("it is in no list", &listed);
    let unknown = format!("{ALLOCATIONS}/{NOBODYS}");
    stage.look("read an unknown one", &hand.get(&unknown).await);
    stage.look("give an unknown one back", &hand.delete(&unknown).await);
    stage.look("change an unknown one", &hand.put(&unknown, &json!({"totalAmount": "1"})).await);
    stage.look("read one whose id is none", &hand.get(&format!("{ALLOCATIONS}/abc")).await);
    stage.close().await;
}

pub(super) async fn all_fields_are_kept(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let mut all = request("1");
    all["address"] = json!(hand.node());
    all["makeDeposit"] = json!(true);
    all["extendTimeout"] = json!(60);
    all["timeout"] = json!("2999-12-31T23:59:59.123456789+00:00");
    all["unheardOf"] = json!({"x": 1});
    let made = hand.post(ALLOCATIONS, &all).await;
    stage.look("all fields there are", &made);
    release(&stage, &made).await;
    // Whether a deposit is there is asked of its chain, and there is none here.
    let mut deposited = request("1");
    deposited["deposit"] = json!({"id": "0x10", "contract": "nothing", "validate": null});
    deposited["makeDeposit"] = json!(true);
    deposited["extendTimeout"] = json!(60);
    let made = hand.post(ALLOCATIONS, &deposited).await;
    stage.look("a deposit in no contract", &made);
    release(&stage, &made).await;
    // What some clients send: all fields of an allocation, those they don't know as empty texts.
    let mut full = request("1");
    for field in ["allocationId", "address", "timestamp", "spentAmount", "remainingAmount"] {
        full[field] = json!("");
    }
    full["makeDeposit"] = json!(false);
    let made = hand.post(ALLOCATIONS, &full).await;
    stage.look("empty texts", &made);
    release(&stage, &made).await;
    let mut foreign = request("1");
    foreign["address"] = json!("0x00000000000000000000000000000000000000aa");
    stage.look("another's address", &hand.post(ALLOCATIONS, &foreign).await);
    let mut upper = request("1");
    upper["address"] = json!(hand.node().as_str().to_uppercase().replacen("0X", "0x", 1));
    let made = hand.post(ALLOCATIONS, &upper).await;
    stage.note(&format!("its own address in capitals: {}", made.status));
    release(&stage, &made).await;
    stage.close().await;
}

pub(super) async fn a_platform_has_many_forms(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for platform in [
        json!(PLATFORM),
        json!(null),
        json!({}),
        json!({"network": "hoodi"}),
        json!({"network": "polygon"}),
        json!({"token": "glm"}),
        json!({"token": "tglm"}),
        json!({"driver": "erc20", "network": "holesky", "token": "tglm"}),
        json!({"driver": "erc20", "network": null, "other": 1}),
    ] {
        let body = json!({"totalAmount": "1", "paymentPlatform": platform});
        let made = hand.post(ALLOCATIONS, &body).await.expect(201);
        stage.note(&format!("{platform} is {}", made.json()["paymentPlatform"]));
        release(&stage, &made).await;
    }
    for platform in [
        json!(""),
        json!("hoodi"),
        json!("erc20-hoodi"),
        json!("erc20-hoodi-tglm-more"),
        json!("erc20-nowhere-tglm"),
        json!("zksync-hoodi-tglm"),
        json!("erc20-hoodi-glm"),
        json!("ERC20-HOODI-TGLM"),
        json!("--"),
        json!({"network": "nowhere"}),
        json!({"driver": "zksync"}),
        json!({"token": "doge"}),
        json!({"token": "glm", "network": "hoodi"}),
        json!({"network": "POLYGON"}),
        json!({"token": "GLM"}),
        json!({"driver": "ERC20"}),
        json!({"network": "hoodi", "token": "doge"}),
        json!({"network": "hoodi", "token": "TGLM"}),
        json!({"token": "tGLM"}),
        json!({"driver": "zksync", "token": "doge"}),
        json!({"driver": "zksync", "network": "nowhere"}),
        json!("zksync-nowhere-doge"),
        json!("zksync-hoodi-doge"),
        json!({"network": 5}),
        json!(5),
        json!(["erc20"]),
    ] {
        let body = json!({"totalAmount": "1", "paymentPlatform": platform});
        let made = hand.post(ALLOCATIONS, &body).await;
        stage.look(&format!("platform {platform}"), &made);
        release(&stage, &made).await;
    }
    stage.close().await;
}

pub(super) async fn an_amount_has_many_forms(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    for amount in [
        json!("1.5"),
        json!("1.50"),
        json!(1.5),
        json!(2),
        json!("1e3"),
        json!("0.000000000000000001"),
        json!("123456789.123456789123456789"),
        json!("0"),
        json!(0),
        json!("-1"),
        json!(-2.5),
        json!("abc"),
        json!(""),
        json!(null),
        json!([1]),
        json!("0x10"),
    ] {
        let made = hand.post(ALLOCATIONS, &json!({"totalAmount": amount, "paymentPlatform": PLATFORM})).await;
        if made.status == 201 {
            let made = made.json();
            // As numbers: how many zeros they end with is the daemon's own business.
            let total: Glm = made["totalAmount"].as_str().expect("a text").parse().expect("an amount");
            assert_eq!(made["remainingAmount"], made["totalAmount"]);
            stage.note(&format!("{amount} is {total}"));
        } else {
            stage.look(&format!("amount {amount}"), &made);
        }
        release(&stage, &made).await;
    }
    stage.look("no amount", &hand.post(ALLOCATIONS, &json!({"paymentPlatform": PLATFORM})).await);
    stage.look("no object", &hand.post(ALLOCATIONS, &json!("1")).await);
    stage.look("no body", &hand.post_nothing(ALLOCATIONS).await);
    stage.close().await;
}

pub(super) async fn an_allocation_ends_by_itself(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let mut brief = request("1");
    brief["timeout"] = json!(in_time(Duration::from_secs(2)).to_string());
    let made = hand.post(ALLOCATIONS, &brief).await.expect(201);
    let id = AllocationId::new(id_of(&made));
    let begin = Instant::now();
    while hand.try_call(&GetAllocation(id.clone())).await.is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is still there");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed() > Duration::from_secs(1), "gone after {:?}", begin.elapsed());
    let path = format!("{ALLOCATIONS}/{id}");
    stage.look("after its time", &hand.get(&path).await);
    stage.look(
        "prolonged after its time",
        &hand.put(&path, &json!({"timeout": "2999-12-31T00:00:00Z"})).await,
    );
    stage.look("given back after its time", &hand.delete(&path).await);
    let decorations = format!("/payment-api/v1/demandDecorations?allocationIds={id}");
    stage.look("decorations after its time", &hand.get(&decorations).await);
    for timeout in ["2020-01-01T00:00:00Z", "2999-01-01T00:00:00", "tomorrow", ""] {
        let mut body = request("1");
        body["timeout"] = json!(timeout);
        stage.look(&format!("timeout {timeout:?}"), &hand.post(ALLOCATIONS, &body).await);
    }
    stage.close().await;
}

pub(super) async fn an_allocation_is_amended(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let made = hand.post(ALLOCATIONS, &request("10")).await.expect(201);
    let id = id_of(&made);
    let path = format!("{ALLOCATIONS}/{id}");
    let more = hand.put(&path, &json!({"totalAmount": "12.5"})).await.expect(200);
    stage.look("more", &more);
    stage.look("less", &hand.put(&path, &json!({"totalAmount": 3})).await);
    stage.look("nothing left", &hand.put(&path, &json!({"totalAmount": "0"})).await);
    stage.look("less than nothing", &hand.put(&path, &json!({"totalAmount": "-1"})).await);
    let later = json!({"timeout": "2999-12-31T00:00:00Z"});
    let prolonged = hand.put(&path, &later).await.expect(200);
    assert_eq!(prolonged.json()["timeout"], later["timeout"]);
    stage.look("a later end", &prolonged);
    stage.look("an end that has passed", &hand.put(&path, &json!({"timeout": "2020-01-01T00:00:00Z"})).await);
    stage.look("no change", &hand.put(&path, &json!({})).await);
    stage.look("no amount", &hand.put(&path, &json!({"totalAmount": "x"})).await);
    let deposit = json!({"deposit": {"id": "1", "contract": "0x00000000000000000000000000000000000000aa"}});
    stage.look("a deposit", &hand.put(&path, &deposit).await);
    stage.look("all fields of an allocation", &hand.put(&path, &made.json()).await);
    stage.look("as it is now", &hand.get(&path).await);
    release(&stage, &made).await;
    stage.close().await;
}

pub(super) async fn a_demand_is_decorated(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let first = allocate(hand, "1").await.allocation_id;
    let same = allocate(hand, "1").await.allocation_id;
    let polygon = json!({"totalAmount": "1", "paymentPlatform": {"network": "polygon"}});
    let other = id_of(&hand.post(ALLOCATIONS, &polygon).await.expect(201));
    let ask =
        |query: String| async move { hand.get(&format!("/payment-api/v1/demandDecorations{query}")).await };
    stage.look("of one", &ask(format!("?allocationIds={first}")).await);
    stage.look("of two on one platform", &ask(format!("?allocationIds={first},{same}")).await);
    // Those of several platforms come in the order of the allocations' ids, which is chance.
    let mut both = [(first.to_string(), PLATFORM), (other.clone(), "erc20-polygon-glm")];
    both.sort();
    let names = both.each_ref().map(|(_, platform)| format!("golem.com.payment.platform.{platform}.address"));
    for ids in [format!("{first},{other}"), format!("{other},{first}")] {
        let decorated = ask(format!("?allocationIds={ids}")).await.expect(200).json();
        let alternatives = format!("(|\n  ({}=*)\n  ({}=*)\n)", names[0], names[1]);
        assert_eq!(decorated["constraints"], json!([alternatives, "(golem.com.payment.protocol.version>1)"]));
        let keys: Vec<_> = (0..3).map(|n| decorated["properties"][n]["key"].clone()).collect();
        assert_eq!(keys, [&*names[0], &*names[1], "golem.com.payment.protocol.version"]);
    }
    stage.look("of one twice", &ask(format!("?allocationIds={first},{first}")).await);
    stage.look("a comma in percent form", &ask(format!("?allocationIds={first}%2C{other}")).await);
    stage.look("twice the parameter", &ask(format!("?allocationIds={first}&allocationIds={other}")).await);
    stage.look("an unknown one", &ask(format!("?allocationIds={NOBODYS}")).await);
    stage.look("an unknown one among others", &ask(format!("?allocationIds={first},{NOBODYS}")).await);
    stage.look("no ids", &ask("?allocationIds=".into()).await);
    stage.look("no parameter", &ask(String::new()).await);
    for id in [first.clone(), same, AllocationId::new(other)] {
        hand.call(&ReleaseAllocation(id)).await;
    }
    stage.look("a released one", &ask(format!("?allocationIds={first}")).await);
    stage.close().await;
}

pub(super) async fn allocations_are_listed_by_their_ends(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let mut ids = Vec::new();
    for hours in [1, 3, 2] {
        let mut body = request("1");
        body["timeout"] = json!(in_time(Duration::from_secs(hours * 3600)).to_string());
        ids.push(id_of(&hand.post(ALLOCATIONS, &body).await.expect(201)));
    }
    let list = |query: String| {
        let ids = &ids;
        async move {
            let listed = hand.get(&format!("{ALLOCATIONS}{query}")).await.expect(200).json();
            let place = |item: &Value| ids.iter().position(|id| item["allocationId"] == **id);
            listed.as_array().expect("a list").iter().filter_map(place).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(String::new()).await, [0, 1, 2], "the oldest first");
    let later = in_time(Duration::from_secs(90 * 60));
    assert_eq!(list(format!("?afterTimestamp={later}")).await, [1, 2], "those that end later");
    hand.put(&format!("{ALLOCATIONS}/{}", ids[0]), &json!({"totalAmount": "2"})).await.expect(200);
    assert_eq!(list(String::new()).await, [0, 1, 2], "a change moves nothing");
    let limited = hand.get(&format!("{ALLOCATIONS}?maxItems=0")).await;
    stage.look("none wanted", &limited);
    stage.look("no number", &hand.get(&format!("{ALLOCATIONS}?maxItems=x")).await);
    stage.look("no time", &hand.get(&format!("{ALLOCATIONS}?afterTimestamp=x")).await);
    stage.look("below zero", &hand.get(&format!("{ALLOCATIONS}?maxItems=-1")).await);
    for id in ids {
        hand.delete(&format!("{ALLOCATIONS}/{id}")).await.expect(200);
    }
    stage.close().await;
}

pub(super) async fn an_allocation_is_its_owners_alone(scene: Scene) {
    let stage = scene.open([]).await;
    let stranger = stage.another_hand().await;
    let id = allocate(&stage.hand, "1").await.allocation_id;
    let path = format!("{ALLOCATIONS}/{id}");
    stage.look("read another's", &stranger.get(&path).await);
    stage.look("give another's back", &stranger.delete(&path).await);
    stage.look("change another's", &stranger.put(&path, &json!({"totalAmount": "2"})).await);
    let decorations = format!("/payment-api/v1/demandDecorations?allocationIds={id}");
    stage.look("use another's", &stranger.get(&decorations).await);
    let listed = stranger.get(ALLOCATIONS).await.keep(|item| item["allocationId"] == id.as_str());
    stage.look("list another's", &listed);
    let still = stage.hand.call(&GetAllocation(id.clone())).await;
    assert_eq!(still.total_amount.to_string(), "1");
    stage.hand.call(&ReleaseAllocation(id)).await;
    stage.close().await;
}

pub(super) async fn accounts_pay_from_the_first_allocation_on(scene: Scene) {
    let stage = scene.open([]).await;
    let hand = &stage.hand;
    let id = allocate(hand, "1").await.allocation_id;
    let ours = |item: &Value| item["platform"] == PLATFORM && item["address"] == hand.node().as_str();
    let accounts = hand.get("/payment-api/v1/requestorAccounts").await;
    stage.look("accounts that pay", &accounts.keep(ours));
    hand.call(&ReleaseAllocation(id)).await;
    let accounts = hand.get("/payment-api/v1/requestorAccounts").await;
    stage.look("the same after its release", &accounts.keep(ours));
    for query in ["", "?network=hoodi", "?network=hoodi&driver=erc20", "?network=nowhere", "?driver=nobody"] {
        let status = hand.get(&format!("/payment-api/v1/payments/status{query}")).await;
        stage.look(&format!("status {query}"), &status);
    }
    for list in ["batchOrders", "batchCycles", "payAgreements", "payActivities"] {
        let answer = hand.get(&format!("/payment-api/v1/{list}")).await;
        assert_eq!((answer.status, answer.json().is_array()), (200, true), "{list}: {answer:?}");
    }
    stage.close().await;
}

/// What asks for an allocation on the usual platform.
fn request(total: &str) -> Value {
    json!({"totalAmount": total, "paymentPlatform": PLATFORM, "timeout": in_time(Duration::from_secs(3600)).to_string()})
}

fn id_of(made: &Reply) -> String {
    made.json()["allocationId"].as_str().unwrap_or_else(|| panic!("no allocation: {made:?}")).to_owned()
}

/// Gives back what was made, if anything was.
async fn release(stage: &Stage, made: &Reply) {
    if made.status == 201 {
        stage.hand.delete(&format!("{ALLOCATIONS}/{}", id_of(made))).await.expect(200);
    }
}
