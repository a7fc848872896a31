//! The meaning of a refusal for the account that is to pay, and the remedy.

use serde_json::Value;
use yagna_api::Glm;
use yagna_client::ClientError;

/// True if the daemon refused to reserve money because there is no account for it, or nothing in it.
pub(crate) fn lacks_account(error: &ClientError) -> bool {
    let Some(problem) = error.api().and_then(|error| error.problem.as_ref()) else {
        return false;
    };
    match problem.short() {
        "bad-payment-platform" | "account-not-registered" => true,
        "insufficient-account-funds" => {
            let funds = problem.fields.get("availableFunds").and_then(Value::as_str);
            funds.and_then(|funds| funds.parse::<Glm>().ok()).is_some_and(Glm::is_zero)
        }
        _ => false,
    }
}

/// The commands that mend a missing account.
pub(crate) fn remedy(driver: &str, network: &str) -> String {
    let place = format!("--driver {driver} --network {network}");
    let fund = if matches!(network, "mainnet" | "polygon") {
        "then it needs GLM and some of the chain's own coin".to_owned()
    } else {
        format!("`yagna payment fund {place}` brings test GLM")
    };
    format!(
        "`yagna payment init --sender {place}` sets one up, {fund}; `yagna payment driver list` shows what there is"
    )
}
