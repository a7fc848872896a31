//! What a scenario plays on: a daemon with a requestor's hand, and the providers it asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use golem_devnet::devnet::Devnet;
use golem_devnet::join::{DaemonAddress, Joined};
use golem_devnet::node::Delays;
use golem_devnet::provider::{ProviderConfig, ProviderHandle};
use yagna_api::AppKey;
use yagna_client::{HttpTransport, InProcessTransport, Transport, Url};

use crate::grounds::{Ground, Grounds};
use crate::hand::{Hand, Reply};
use crate::keyless::{self, Keyless};
use crate::rig::{Lease, Rig, Side};
use crate::transcript::Transcript;

/// Where providers are paid.
pub(crate) const PLATFORM: &str = "erc20-hoodi-tglm";

/// How long a message takes between daemons that are far apart.
const FAR: Duration = Duration::from_millis(20);

/// A scenario's beginning: where it is played, before anybody is there.
#[derive(Debug)]
pub(crate) struct Scene {
    grounds: Arc<Grounds>,
    ground: Ground,
    name: &'static str,
    delays: Delays,
}

/// A daemon, a requestor, providers.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The requestor.
    pub(crate) hand: Hand,
    /// The part of the market where the scenario's providers are, and nobody else's.
    pub(crate) subnet: String,
    ground: Ground,
    name: &'static str,
    place: Place,
    transcript: Mutex<Transcript>,
    key: AppKey,
    leases: Mutex<Vec<Lease>>,
}

#[derive(Debug)]
enum Place {
    Devnet { devnet: Devnet, api: Option<Url> },
    Daemons { rig: Arc<Rig>, joined: Option<Joined>, alone: bool },
}

impl Scene {
    pub(crate) fn new(grounds: Arc<Grounds>, ground: Ground, name: &'static str) -> Self {
        Self { grounds, ground, name, delays: Delays::none() }
    }

    /// Lets messages between daemons take their time where they otherwise take none.
    pub(crate) fn far_apart(mut self) -> Self {
        self.delays.message = FAR;
        self
    }

    /// Sets the stage with these providers, each on a node of its own. Their offers are out when it returns.
    pub(crate) async fn open(self, providers: impl IntoIterator<Item = ProviderConfig>) -> Stage {
        self.set(providers.into_iter().collect(), None).await
    }

    /// Sets the stage with daemons that no other scenario uses, so that they may be killed. `place` tells such
    /// scenarios apart, from 1 on.
    pub(crate) async fn open_alone(
        self,
        place: u16,
        providers: impl IntoIterator<Item = ProviderConfig>,
    ) -> Stage {
        self.set(providers.into_iter().collect(), Some(place)).await
    }

    async fn set(self, providers: Vec<ProviderConfig>, alone: Option<u16>) -> Stage {
        let Self { grounds, ground, name, delays } = self;
        let subnet = format!("contract-{}", name.replace("::", "-"));
        let mut leases = Vec::new();
        let (place, key) = if ground == Ground::Daemons {
            let rig = match alone {
                Some(place) => grounds.rig_of_its_own(place).await,
                None => grounds.rig().await,
            };
            leases.push(rig.lend(Side::Buyers).await);
            for _ in &providers {
                leases.push(rig.lend(Side::Sellers).await);
            }
            let keys = leases.iter().map(|lease| lease.key.clone()).collect::<Vec<_>>();
            let (key, keys) = (keys[0].clone(), &keys[1..]);
            let joined = join(&rig, &subnet, keys, providers).await;
            (Place::Daemons { rig, joined, alone: alone.is_some() }, key)
        } else {
            let mut builder = Devnet::builder().subnet(&subnet).payment_platform(PLATFORM).delays(delays);
            for provider in providers {
                builder = builder.provider(provider);
            }
            let devnet = builder.start().await.expect("a devnet");
            let key = devnet.requestor().key.clone();
            let api = match ground {
                Ground::Http => {
                    let address = devnet.listen(([127, 0, 0, 1], 0).into()).await.expect("a free port");
                    Some(Url::parse(&format!("http://{address}")).expect("an address"))
                }
                _ => None,
            };
            (Place::Devnet { devnet, api }, key)
        };
        let hand = Hand::new(transport(&place, &key)).await;
        Stage {
            hand,
            subnet,
            ground,
            name,
            place,
            transcript: Mutex::default(),
            key,
            leases: Mutex::new(leases),
        }
    }
}

impl Stage {
    /// A provider by its name.
    #[track_caller]
    pub(crate) fn provider(&self, name: &str) -> &ProviderHandle {
        let found = match &self.place {
            Place::Devnet { devnet, .. } => devnet.provider(name),
            Place::Daemons { joined, .. } => joined.as_ref().and_then(|joined| joined.provider(name)),
        };
        found.unwrap_or_else(|| panic!("no provider is called `{name}`"))
    }

    /// Another requestor at the same daemon, with an identity of its own.
    pub(crate) async fn another_hand(&self) -> Hand {
        let key = match &self.place {
            Place::Devnet { devnet, .. } => devnet.add_requestor("another").key,
            Place::Daemons { rig, .. } => {
                let lease = rig.lend(Side::Buyers).await;
                let key = lease.key.clone();
                self.leases.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
                key
            }
        };
        Hand::new(transport(&self.place, &key)).await
    }

    /// Somebody with this app key.
    pub(crate) fn hand_with_key(&self, key: &str) -> Hand {
        Hand::stranger(transport(&self.place, &AppKey::new(key)))
    }

    /// Somebody without any app key.
    pub(crate) fn keyless_hand(&self) -> Hand {
        Hand::stranger(match &self.place {
            Place::Devnet { devnet, api: None } => Arc::new(keyless::within(devnet)),
            Place::Devnet { api: Some(url), .. } => Arc::new(Keyless::new(url.clone())),
            Place::Daemons { rig, .. } => {
                let url = rig.daemon(Side::Buyers).api_url();
                Arc::new(Keyless::new(Url::parse(&url).expect("an address")))
            }
        })
    }

    /// The requestor's app key.
    pub(crate) fn key(&self) -> &str {
        self.key.expose()
    }

    /// The environment in which a program finds the daemon; `None` where it has no address.
    pub(crate) fn environment(&self) -> Option<Vec<(&'static str, String)>> {
        let url = match &self.place {
            Place::Devnet { api, .. } => api.as_ref()?.to_string(),
            Place::Daemons { rig, .. } => rig.daemon(Side::Buyers).api_url(),
        };
        Some(vec![
            ("YAGNA_API_URL", url),
            ("YAGNA_APPKEY", self.key.expose().to_owned()),
            ("YAGNA_SUBNET", self.subnet.clone()),
        ])
    }

    /// Kills the requestor's daemon and starts it again. The scenario must have been opened alone.
    pub(crate) async fn restart_daemon(&self, down: std::time::Duration) {
        match &self.place {
            Place::Devnet { devnet, .. } => devnet.faults().restart(down),
            Place::Daemons { rig, alone, .. } => {
                assert!(alone, "other scenarios use this daemon");
                rig.daemon(Side::Buyers).kill(rustix::process::Signal::KILL);
                tokio::time::sleep(down).await;
                rig.daemon(Side::Buyers).start().await;
            }
        }
    }

    /// The real daemons, where there are any.
    pub(crate) fn rig(&self) -> Option<&Arc<Rig>> {
        match &self.place {
            Place::Devnet { .. } => None,
            Place::Daemons { rig, .. } => Some(rig),
        }
    }

    /// Writes an answer into the transcript: status, content type and body must be the same on every ground.
    pub(crate) fn look(&self, what: &str, reply: &Reply) {
        self.look_past(what, reply, &[]);
    }

    /// The same, but for the values at these JSON pointers.
    pub(crate) fn look_past(&self, what: &str, reply: &Reply, masked: &[&str]) {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).look(what, reply, masked);
    }

    /// Writes something else into the transcript.
    pub(crate) fn note(&self, what: &str) {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).note(what);
    }

    /// Ends the scenario: providers go in good order, and the transcript is held against the recorded one.
    pub(crate) async fn close(self) {
        match self.place {
            Place::Devnet { devnet, .. } => devnet.stop().await,
            Place::Daemons { rig, joined, alone } => {
                if let Some(joined) = joined {
                    joined.stop().await;
                }
                if alone {
                    rig.stop();
                }
            }
        }
        self.transcript.into_inner().unwrap_or_else(PoisonError::into_inner).check(self.name, self.ground);
    }
}

async fn join(rig: &Rig, subnet: &str, keys: &[AppKey], providers: Vec<ProviderConfig>) -> Option<Joined> {
    let (first, others) = keys.split_first()?;
    let daemon = rig.daemon(Side::Sellers);
    let gsb = daemon.bus_url().parse().expect("an address");
    let address = DaemonAddress { api: daemon.api_url(), gsb, key: first.clone() };
    let mut builder = Joined::builder(address).subnet(subnet).payment_platform(PLATFORM);
    for key in others {
        builder = builder.key(key.clone());
    }
    for provider in providers {
        builder = builder.provider(provider);
    }
    Some(builder.start().await.unwrap_or_else(|error| panic!("no providers: {error:?}")))
}

fn transport(place: &Place, key: &AppKey) -> Arc<dyn Transport> {
    let http =
        |url: &Url| Arc::new(HttpTransport::new(url, key).expect("an HTTP client")) as Arc<dyn Transport>;
    match place {
        Place::Devnet { devnet, api: None } => {
            Arc::new(InProcessTransport::new(devnet.router(), key).expect("a key that fits a header"))
        }
        Place::Devnet { api: Some(url), .. } => http(url),
        Place::Daemons { rig, .. } => {
            http(&Url::parse(&rig.daemon(Side::Buyers).api_url()).expect("an address"))
        }
    }
}
