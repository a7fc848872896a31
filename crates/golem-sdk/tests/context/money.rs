//! The usage and the cost of an activity.

use golem_core::pricing::Pricing;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use yagna_api::Glm;
use yagna_api::activity::{State, StatePair};

use crate::lab::{ADA, Lab, secs};

#[tokio::test(start_paused = true)]
async fn usage_state_and_cost_are_the_activitys_own() {
    let runtime = ScriptedRuntime::new().on("work", &[], ScriptedAnswer::ok().taking(secs(100)));
    let mut lab = Lab::scripted(runtime).await;
    let ctx = &mut lab.ctx;
    assert_eq!((ctx.provider_name(), ctx.provider_id()), (ADA, &ctx.provider().id));
    assert_eq!(ctx.id(), ctx.activity());
    assert_eq!(ctx.terms().await.unwrap().agreement_id, *ctx.agreement());
    let start: Glm = "0.5".parse().unwrap();
    assert!(ctx.cost().await.unwrap() >= start);

    ctx.run("work", [""; 0]);
    ctx.commit(secs(200)).await.unwrap();
    tokio::time::sleep(secs(5)).await;
    assert_eq!(ctx.state().await.unwrap().state, StatePair(State::Ready, None));
    let usage = ctx.usage().await.unwrap();
    assert_eq!(usage.cpu().map(f64::round), Some(100.0), "{usage:?}");
    let duration = usage.duration().unwrap();
    assert!((100.0..120.0).contains(&duration), "{usage:?}");

    // 0.036 GLM an hour, 0.36 GLM a CPU hour, each in an exact number of GLM a second.
    let expected = 0.5 + duration * 0.000_01 + 100.0 * 0.0001;
    let cost = ctx.cost().await.unwrap();
    let told: f64 = cost.to_string().parse().unwrap();
    assert!((told - expected).abs() < 0.000_02, "{cost} for {expected}");
    let pricing = Pricing::read(&ctx.terms().await.unwrap().offer.properties).unwrap();
    assert_eq!(pricing.start_price(), start);
    lab.end().await;
}
