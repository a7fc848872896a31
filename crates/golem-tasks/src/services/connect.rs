//! The standard streams, connected to a port of an instance. `ssh` uses it as its proxy command.

use golem_sdk::reach::{self, CarryEnd, CarryPolicy, ReachError};
use tokio::io::{join, stdin, stdout};

use super::look::{Looking, Reached, reach};
use crate::exit::{Exit, Failure};
use crate::options::Site;
use crate::signals::Stops;
use crate::store::Store;

#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{name} is in no network, so that no port of it can be reached")]
    NoNetwork { name: String },
}

/// `connect`: carries the standard input to a port of an instance, and what comes from there to the standard output.
pub(crate) async fn connect(
    looking: &Looking,
    name: &str,
    port: u16,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let reached = reach(&store, looking, name, site).await;
    store.close().await;
    let reached = reached?;
    let Some((network, ip)) = reached.info.network.as_ref().zip(reached.info.address) else {
        return Err(no_network(&reached.info.name()));
    };
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let carrying = async {
        let tunnel = reach::connect(&reached.client, network, ip, port).await;
        let tunnel = tunnel.map_err(|error| not_reached(&reached, error))?;
        match reach::carry(join(stdin(), stdout()), tunnel, CarryPolicy::default()).await.end {
            // A program that closes its connection shows as a reset, after which there is nothing to do.
            CarryEnd::FarGone(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                Err(Failure::new(Exit::BrokeOff, error))
            }
            _ => Ok(Exit::Done),
        }
    };
    tokio::select! {
        biased;
        () = stops.next() => Ok(Exit::Cancelled),
        carried = carrying => carried,
    }
}

/// The failure of whatever needs a network that isn't there.
pub(super) fn no_network(name: &str) -> Failure {
    Failure::new(Exit::Usage, ConnectError::NoNetwork { name: name.to_owned() })
        .advise("add the section [network] to the file of services, and bring them up anew")
}

fn not_reached(reached: &Reached, error: ReachError) -> Failure {
    let name = reached.info.name();
    Failure::new(Exit::BrokeOff, error).advise(format!(
        "`golem-tasks ps` shows whether {name} is up, `golem-tasks logs {name}` what it says"
    ))
}
