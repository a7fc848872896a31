//! The page "Coming from yapapi" is part of the documentation, where every link to a name of ours is checked when it is built.
//! These tests check that every name of ours is a link, and that every name of yapapi is there.

use std::collections::BTreeSet;

const SOURCE: &str = include_str!("../src/coming_from_yapapi.md");

/// Code in the second column that is not the name of a Rust item.
const NO_ITEMS: [&str; 4] = ["T: Send + Sync", "Ok", "RUST_LOG=yagna_client=trace", "golem-devnet"];

/// The names that users of yapapi import, call or wait for.
const THEIRS: &str = "\
    Golem Executor submit execute_tasks Task WorkContext NoPaymentAccountError windows_event_loop_fix __version__ \
    get_version ExecOptions package payload max_workers budget timeout strategy subnet_tag driver network payment_driver \
    payment_network event_consumer add_event_consumer stream_output api_config app_key start stop operative job_id \
    implicit_init run_service resume_service create_network resume_network Job \
    accept_result reject_result running_time aclose \
    provider_name provider_id new_script get_raw_usage get_usage get_raw_state get_cost emit begin commit Script \
    wait_for_results deploy terminate run env upload_bytes upload_json upload_file send_json send_file download_file \
    download_bytes download_json download_from_url ProgressArgs CaptureContext CommandExecuted Work Command \
    image_hash image_tag image_url image_use_https repository_url dev_mode min_mem_gib min_storage_gib min_cpu_threads \
    capabilities VmCaps manifest node_descriptor generate Payload prop constraint DemandBuilder PackageException \
    LeastExpensiveLinearPayuMS DummyMS DecreaseScoreForUnconfirmedAgreement ProviderFilter WrappingMarketStrategy \
    MarketStrategy BaseMarketStrategy score_offer decorate_demand respond_to_provider_offer invoice_accepted_amount \
    debit_note_accepted_amount max_fixed_price max_price_for expected_time_secs PropValueRange ComLinear \
    SCORE_REJECTED SCORE_NEUTRAL SCORE_TRUSTED \
    ComputationStarted ComputationFinished JobStarted JobFinished SubscriptionCreated SubscriptionFailed CollectFailed \
    ProposalReceived ProposalRejected ProposalResponded ProposalConfirmed ProposalFailed NoProposalsConfirmed \
    AgreementCreated AgreementConfirmed AgreementRejected AgreementTerminated DebitNoteReceived DebitNoteAccepted \
    PaymentAccepted PaymentPrepared PaymentQueued PaymentFailed InvoiceReceived InvoiceAccepted WorkerStarted \
    WorkerFinished ActivityCreated ActivityCreateFailed TaskStarted TaskFinished TaskAccepted TaskRejected \
    ServiceStateChanged ServiceFinished ScriptSent GettingResults ScriptFinished CommandStarted CommandStdOut \
    CommandStdErr CommandProgress DownloadStarted DownloadFinished ShutdownFinished ExecutionInterrupted \
    MissingConfiguration InvalidPropertiesError ConstraintException BatchError CommandExecutionError BatchTimeoutError \
    NetworkError ServiceRunnerError ApiException YAGNA_APPKEY YAGNA_API_URL YAGNA_MARKET_URL YAGNA_PAYMENT_URL \
    YAGNA_ACTIVITY_URL YAGNA_NET_URL YAGNA_PAYMENT_DRIVER YAGNA_PAYMENT_NETWORK YAGNA_SUBNET YAPAPI_USE_GFTP_CLOSE \
    DEBUG_GFTP YAPAPI_TRACEBACK enable_default_logger log_event log_event_repr log_summary SummaryLogger Configuration \
    subscribe subscriptions respond create_agreement get_details confirm new_activity send new_allocation allocations \
    accounts invoices incoming_invoices incoming_debit_note_ids add_address add_node remove_node GftpProvider \
    DavStorageProvider ComposedStorageProvider";

#[test]
fn every_name_of_ours_is_a_link_that_is_checked() {
    let rows = rows();
    assert!(rows.len() > 150, "{} rows", rows.len());
    for row in rows {
        let [theirs, ours, python, _] = row.as_slice() else { panic!("not four cells: {row:?}") };
        let empty = [theirs, ours, python].iter().any(|cell| cell.is_empty());
        assert!(!empty, "an empty cell: {row:?}");
        // Odd parts are code.
        let parts: Vec<&str> = ours.split('`').collect();
        for n in (1..parts.len()).step_by(2) {
            let linked = parts[n - 1].ends_with('[') && parts[n + 1].starts_with(']');
            assert!(linked || NO_ITEMS.contains(&parts[n]), "`{}` is no link in {row:?}", parts[n]);
        }
        let in_words =
            ["later", "none", "the same", "any ", "returning", "another task", "one more", "the devnet"];
        assert!(ours.contains("[`") || in_words.iter().any(|word| ours.starts_with(word)), "{row:?}");
    }
}

#[test]
fn every_name_of_yapapi_is_there() {
    let there: BTreeSet<String> = rows().iter().flat_map(|row| words(&row[0])).collect();
    let missing: Vec<&str> = THEIRS.split_whitespace().filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "no row tells of {missing:?}");
}

/// The cells of the tables' rows, without their heads.
fn rows() -> Vec<Vec<String>> {
    let rows = SOURCE.lines().filter(|line| line.starts_with('|'));
    rows.map(|line| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim_matches([' ', '|']).to_owned()).collect()
    })
    .filter(|row: &Vec<String>| row[0] != "yapapi" && !row[0].starts_with("---"))
    .collect()
}

/// The names in a cell.
fn words(cell: &str) -> impl Iterator<Item = String> {
    cell.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_owned)
}
