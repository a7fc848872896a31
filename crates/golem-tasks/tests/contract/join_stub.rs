use golem_devnet::provider::{ProviderConfig, ProviderHandle};
use yagna_api::AppKey;
#[derive(Debug)]
pub(crate) struct Gsb;
impl std::str::FromStr for Gsb {
    type Err = String;
    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self)
    }
}
#[derive(Debug)]
pub(crate) struct DaemonAddress {
    pub api: String,
    pub gsb: Gsb,
    pub key: AppKey,
}
#[derive(Debug)]
pub(crate) struct Joined;
impl Joined {
    pub(crate) fn builder(_: DaemonAddress) -> Self {
        Self
    }
    pub(crate) fn subnet(self, _: &str) -> Self {
        self
    }
    pub(crate) fn payment_platform(self, _: &str) -> Self {
        self
    }
    pub(crate) fn key(self, _: AppKey) -> Self {
        self
    }
    pub(crate) fn provider(self, _: ProviderConfig) -> Self {
        self
    }
    pub(crate) async fn start(self) -> Result<Self, String> {
        Ok(self)
    }
    pub(crate) async fn stop(self) {}
}
pub(crate) trait P {
    fn provider(&self, _: &str) -> Option<&ProviderHandle> {
        None
    }
}
