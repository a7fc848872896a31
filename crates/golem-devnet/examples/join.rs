//! Puts providers to work at a real daemon until Ctrl+C.
//!
//! ```text
//! cargo run -p golem-devnet --example join -- http://127.0.0.1:7465 unix:/tmp/yagna.sock KEY[,KEY..] my-subnet ada bob
//! ```

use std::error::Error;
use std::io::Write as _;

use golem_devnet::join::{DaemonAddress, Joined};
use golem_devnet::provider::ProviderConfig;
use yagna_api::AppKey;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut words = std::env::args().skip(1);
    let (Some(api), Some(gsb), Some(keys), Some(subnet)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("usage: join API GSB KEY[,KEY..] SUBNET [NAME..]".into());
    };
    let mut keys = keys.split(',').map(AppKey::new);
    let key = keys.next().ok_or("no key")?;
    let mut builder = Joined::builder(DaemonAddress { api, gsb: gsb.parse()?, key }).subnet(subnet);
    for key in keys {
        builder = builder.key(key);
    }
    for name in words {
        builder = builder.provider(ProviderConfig::new(name));
    }
    let joined = builder.start().await?;
    for provider in joined.providers() {
        writeln!(std::io::stdout(), "{} sells as {}", provider.name(), provider.node())?;
    }
    tokio::signal::ctrl_c().await?;
    joined.stop().await;
    Ok(())
}
