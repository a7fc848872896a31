//! A devnet's daemon with a network, whose members are programs of this test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use golem_devnet::clock::DevnetClock;
use golem_devnet::node::{Delays, Requestor, World};
use golem_devnet::port::Port as _;
use golem_sdk::reach::{Target, Targets};
use golem_sdk::{NetworkId, NodeId};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use yagna_api::AppKey;
use yagna_api::net::{AddNode, CreateNetwork, NewNetwork, Node};
use yagna_client::{Client, HttpTransport, RetryPolicy, Url};

/// Longer than any test takes on a machine that is very busy.
pub(crate) const LONG: Duration = Duration::from_secs(120);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(LONG, work).await.expect("it takes for ever")
}

/// Waits for a condition, which is looked at again and again.
pub(crate) async fn until(words: &str, mut condition: impl FnMut() -> bool) {
    let waited = timeout(LONG, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "it never came true that {words}");
}

pub(crate) fn client(url: &str, key: &AppKey) -> Client {
    let url: Url = url.parse().unwrap();
    let retry = RetryPolicy { total: Duration::from_secs(1), ..RetryPolicy::default() };
    Client::new(Arc::new(HttpTransport::new(&url, key).unwrap())).with_retry(retry)
}

pub(crate) struct Ground {
    pub(crate) world: World,
    pub(crate) url: String,
    pub(crate) requestor: Requestor,
    pub(crate) client: Client,
    pub(crate) network: NetworkId,
    nodes: Vec<NodeId>,
    tasks: JoinSet<()>,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let world = World::new(DevnetClock::starting_at(start), 7, Delays::none());
        let requestor = world.add_requestor("requestor");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        let served = world.clone();
        tasks.spawn(async move { served.serve(listener, CancellationToken::new()).await.unwrap() });
        let client = client(&url, &requestor.key);
        let network = network(&client).await;
        Self { world, url, requestor, client, network, nodes: Vec::new(), tasks }
    }

    /// A new member of the network, on which nothing listens yet.
    pub(crate) async fn member(&mut self) -> Ipv4Addr {
        let port = self.world.add_provider(&format!("provider-{}", self.nodes.len()));
        let ip = Ipv4Addr::new(192, 168, 0, 2 + u8::try_from(self.nodes.len()).unwrap());
        let node = Node { id: port.node(), ip: ip.to_string() };
        self.client.call(&AddNode { network: self.network.clone(), node }).await.unwrap();
        self.world.refuse_tcp(&port.node());
        self.nodes.push(port.node());
        ip
    }

    /// Lets a real address be a port of a member.
    pub(crate) fn expose(&self, ip: Ipv4Addr, port: u16, to: SocketAddr) {
        let node = &self.nodes[usize::from(ip.octets()[3] - 2)];
        self.world.expose_tcp(node, port, to);
    }

    /// A member with a program of this test at port 80.
    pub(crate) async fn serve<F>(
        &mut self,
        name: &str,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Place
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        self.tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                served.spawn(serve(stream));
            }
        });
        self.place(name, address, connections).await
    }

    /// A member with a web server at port 80.
    pub(crate) async fn web(&mut self, name: &str, router: Router) -> Place {
        let service = hyper_util::service::TowerToHyperService::new(router);
        self.serve(name, move |stream| {
            let service = service.clone();
            async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                    .with_upgrades();
                // The other end may go away at any time.
                drop(served.await);
            }
        })
        .await
    }

    async fn place(&mut self, name: &str, address: SocketAddr, connections: Arc<AtomicUsize>) -> Place {
        let ip = self.member().await;
        self.expose(ip, 80, address);
        Place { target: Target::new(name, self.network.clone(), ip, 80), connections }
    }
}

async fn network(client: &Client) -> NetworkId {
    let new = NewNetwork { ip: "192.168.0.0/24".into(), mask: None, gateway: None };
    client.call(&CreateNetwork(new)).await.unwrap().id
}

/// A program at a place in the network.
pub(crate) struct Place {
    pub(crate) target: Target,
    connections: Arc<AtomicUsize>,
}

impl Place {
    /// The number of connections that it has had.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) fn targets<'a>(places: impl IntoIterator<Item = &'a Place>) -> Targets {
    let targets = Targets::new();
    targets.set(places.into_iter().map(|place| place.target.clone()));
    targets
}
