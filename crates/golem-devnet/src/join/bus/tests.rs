//! The bus against a router that does what the test says.

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::net::TcpListener;

use super::*;
use crate::join::wire::{
    Body, Call, Empty, FAILURE, FULL, Hello, OK, Outcome, PARTIAL, PacketReader, Reply, ServiceName,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon's end of one connection.
struct Router {
    reader: PacketReader<ReadHalf<Box<dyn Stream>>>,
    writer: WriteHalf<Box<dyn Stream>>,
    instance: Bytes,
}

impl Router {
    async fn greet(stream: Box<dyn Stream>) -> Self {
        let (reader, writer) = split(stream);
        let mut router = Self { reader: PacketReader::new(reader), writer, instance: Bytes::new() };
        let Body::Hello(hello) = router.hear().await else { panic!("no hello") };
        router.instance = hello.instance;
        router
            .say(Body::Hello(Hello { name: "router".into(), version: "0".into(), instance: Bytes::new() }))
            .await;
        router
    }

    async fn hear(&mut self) -> Body {
        timeout(PATIENCE, self.reader.next()).await.expect("a packet in time").expect("a packet")
    }

    async fn say(&mut self, body: Body) {
        self.writer.write_all(&body.into_frame()).await.unwrap();
    }

    /// Hears of a registration and answers it.
    async fn register(&mut self, address: &str, code: i32) {
        let wanted = Body::Register(ServiceName { service: address.into() });
        assert_eq!(self.hear().await, wanted);
        self.say(Body::Registered(Outcome { code, message: String::new() })).await;
    }

    async fn call(&mut self, request: &str, address: &str) {
        self.say(Body::Call(Call {
            caller: "/net/0x1".into(),
            address: address.into(),
            request: request.into(),
            data: Bytes::from_static(b"data"),
            no_reply: false,
        }))
        .await;
    }

    async fn hear_reply(&mut self) -> (String, i32, i32, Bytes) {
        match self.hear().await {
            Body::Reply(Reply { request, code, kind, data }) => (request, code, kind, data),
            other => panic!("no reply: {other:?}"),
        }
    }

    async fn hear_call(&mut self) -> Call {
        match self.hear().await {
            Body::Call(call) => call,
            other => panic!("no call: {other:?}"),
        }
    }

    async fn answer(&mut self, call: &Call, code: i32, data: &'static [u8]) {
        let data = Bytes::from_static(data);
        self.say(Body::Reply(Reply { request: call.request.clone(), code, kind: FULL, data })).await;
    }
}

/// Answers by the method's name.
#[derive(Debug)]
struct Service;

impl Handler for Service {
    fn call(self: Arc<Self>, _caller: String, method: String, data: Bytes) -> BoxFuture<'static, Answer> {
        let answer = match method.as_str() {
            "Echo" => Answer::Full(data.to_vec()),
            "Three" => Answer::Stream(stream::iter([vec![1], vec![2], vec![3]]).boxed()),
            "Endless" => Answer::Stream(stream::iter([vec![1]]).chain(stream::pending()).boxed()),
            "Fail" => Answer::Failure("out of paper".into()),
            "Panic" => return async { panic!("as the test wants") }.boxed(),
            "Never" => return std::future::pending().boxed(),
            _ => Answer::NoEndpoint,
        };
        async { answer }.boxed()
    }
}

async fn listen() -> (TcpListener, GsbAddress) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = GsbAddress::Tcp(listener.local_addr().unwrap().to_string());
    (listener, address)
}

async fn accept(listener: &TcpListener) -> Router {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    Router::greet(Box::new(stream)).await
}

async fn connected() -> (TcpListener, Router, Bus) {
    let (listener, address) = listen().await;
    let (router, bus) = tokio::join!(accept(&listener), Bus::connect(address));
    (listener, router, bus.unwrap())
}

async fn bind(bus: &Bus, router: &mut Router, address: &str) {
    let (bound, ()) =
        tokio::join!(bus.bind(address.into(), Arc::new(Service), PATIENCE), router.register(address, OK));
    bound.unwrap();
}

#[tokio::test]
async fn calls_reach_the_service_and_get_its_answer() {
    let (_listener, mut router, bus) = connected().await;
    bind(&bus, &mut router, "/public/exeunit/a").await;
    router.call("1", "/public/exeunit/a/Echo").await;
    assert_eq!(router.hear_reply().await, ("1".into(), OK, FULL, Bytes::from_static(b"data")));
    router.call("2", "/public/exeunit/a/Three").await;
    for piece in 1..=3 {
        assert_eq!(router.hear_reply().await, ("2".into(), OK, PARTIAL, Bytes::from(vec![piece])));
    }
    assert_eq!(router.hear_reply().await, ("2".into(), OK, FULL, Bytes::new()));
    router.call("3", "/public/exeunit/a/Fail").await;
    assert_eq!(router.hear_reply().await, ("3".into(), FAILURE, FULL, Bytes::from_static(b"out of paper")));
    for address in ["/public/exeunit/a/Dance", "/public/exeunit/b/Echo", "Echo"] {
        router.call("4", address).await;
        let (_, code, _, text) = router.hear_reply().await;
        assert_eq!(
            (code, &text[..]),
            (FAILURE, &b"Bad request: endpoint address not found"[..]),
            "{address}"
        );
    }
}

#[tokio::test]
async fn one_that_hangs_or_panics_doesnt_hold_up_the_others() {
    let (_listener, mut router, bus) = connected().await;
    bind(&bus, &mut router, "/s").await;
    for method in ["Never", "Endless", "Panic", "Endless"] {
        router.call(method, &format!("/s/{method}")).await;
    }
    router.call("last", "/s/Echo").await;
    let mut parts = 0;
    loop {
        match router.hear_reply().await {
            (request, OK, PARTIAL, _) if request == "Endless" => parts += 1,
            (request, OK, FULL, _) if request == "last" => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(parts, 2);
}

#[tokio::test]
async fn a_flood_of_one_service_holds_up_no_other() {
    let (_listener, mut router, bus) = connected().await;
    bind(&bus, &mut router, "/flooded").await;
    bind(&bus, &mut router, "/free").await;
    for _ in 0..MAX_CALLS {
        router.call("many", "/flooded/Never").await;
    }
    router.call("more", "/flooded/Echo").await;
    let (request, code, _, text) = router.hear_reply().await;
    assert_eq!(
        (request.as_str(), code, &text[..]),
        ("more", FAILURE, &b"too many calls at the same time"[..])
    );
    router.call("other", "/free/Echo").await;
    assert_eq!(router.hear_reply().await.0, "other");
}

#[tokio::test]
async fn pings_are_answered() {
    let (_listener, mut router, _bus) = connected().await;
    router.say(Body::Ping(Empty {})).await;
    assert_eq!(router.hear().await, Body::Pong(Empty {}));
}

#[tokio::test]
async fn our_calls_get_their_own_answers() {
    let (_listener, mut router, bus) = connected().await;
    let call = |address: &str| bus.call("local", address.to_owned(), b"x".to_vec(), PATIENCE);
    let serve = async {
        let mut calls = [router.hear_call().await, router.hear_call().await];
        calls.sort_by(|a, b| a.address.cmp(&b.address));
        let [first, second] = calls;
        assert_ne!(first.request, second.request);
        assert_eq!((first.caller.as_str(), &first.data[..]), ("local", &b"x"[..]));
        // An answer to nothing, and a part of one: neither is ours.
        let stray = |request: &str, kind| {
            Body::Reply(Reply { request: request.into(), code: OK, kind, data: Bytes::new() })
        };
        router.say(stray("nobody", FULL)).await;
        router.say(stray(&first.request, PARTIAL)).await;
        router.answer(&second, 400, b"endpoint address not found").await;
        router.answer(&first, OK, b"yes").await;
    };
    let (one, two, ()) = tokio::join!(call("/local/a"), call("/local/b"), serve);
    assert_eq!(one, Ok(Bytes::from_static(b"yes")));
    assert_eq!(two, Err(CallError::Refused { code: 400, text: "endpoint address not found".into() }));
}

#[tokio::test]
async fn a_call_nobody_answers_ends_in_time_and_is_forgotten() {
    let (_listener, mut router, bus) = connected().await;
    // Only a connection that stands can lose a call.
    bind(&bus, &mut router, "/a").await;
    let short = Duration::from_millis(20);
    assert_eq!(bus.call("local", "/local/a".into(), vec![], short).await, Err(CallError::Timeout));
    let late = router.hear_call().await;
    router.answer(&late, OK, b"late").await;
    let (answer, ()) = tokio::join!(bus.call("local", "/local/b".into(), vec![], PATIENCE), async {
        let call = router.hear_call().await;
        router.answer(&call, OK, b"in time").await;
    });
    assert_eq!(answer, Ok(Bytes::from_static(b"in time")));
}

#[tokio::test]
async fn a_lost_connection_comes_back_with_all_that_was_bound() {
    let (listener, mut router, bus) = connected().await;
    bind(&bus, &mut router, "/a").await;
    bind(&bus, &mut router, "/b").await;
    let instance = router.instance.clone();
    let lose = async {
        router.hear_call().await;
        drop(router);
    };
    let (lost, ()) = tokio::join!(bus.call("local", "/local/a".into(), vec![], PATIENCE), lose);
    assert_eq!(lost, Err(CallError::Lost));
    bus.unbind("/b");
    // Made while nobody is there: it waits for the next connection.
    let later = bus.call("local", "/local/c".into(), vec![], PATIENCE);
    let serve = async {
        let mut router = accept(&listener).await;
        assert_eq!(router.instance, instance, "so that the daemon gives up the old connection");
        let mut registered = false;
        let call = loop {
            match router.hear().await {
                Body::Register(ServiceName { service }) => {
                    assert_eq!(service, "/a");
                    registered = true;
                    router.say(Body::Registered(Outcome { code: OK, message: String::new() })).await;
                }
                Body::Call(call) => break call,
                other => panic!("{other:?}"),
            }
        };
        router.answer(&call, OK, b"back").await;
        if !registered {
            router.register("/a", OK).await;
        }
        router.call("1", "/a/Echo").await;
        assert_eq!(router.hear_reply().await.0, "1");
    };
    let (answer, ()) = tokio::join!(later, serve);
    assert_eq!(answer, Ok(Bytes::from_static(b"back")));
}

#[tokio::test]
async fn a_taken_address_is_asked_for_again() {
    let (_listener, mut router, bus) = connected().await;
    let (bound, ()) = tokio::join!(bus.bind("/a".into(), Arc::new(Service), PATIENCE), async {
        router.register("/a", 409).await;
        router.register("/a", OK).await;
    });
    assert_eq!(bound, Ok(()));
    let brief = Duration::from_millis(800);
    let (bound, ()) =
        tokio::join!(bus.bind("/b".into(), Arc::new(Service), brief), router.register("/b", 409));
    assert_eq!(bound, Err(BindError::Refused("the address is taken by another connection".into())));
    // Given up, it isn't asked for any more: the next thing heard is something else.
    bind(&bus, &mut router, "/c").await;
}

#[tokio::test]
async fn an_unbound_service_falls_silent() {
    let (_listener, mut router, bus) = connected().await;
    bind(&bus, &mut router, "/a").await;
    router.call("1", "/a/Endless").await;
    assert_eq!(router.hear_reply().await.2, PARTIAL);
    bus.unbind("/a");
    assert_eq!(router.hear().await, Body::Unregister(ServiceName { service: "/a".into() }));
    router.say(Body::Unregistered(Outcome { code: OK, message: String::new() })).await;
    // The stream has no end on the wire, and a call of the past finds nobody.
    router.call("2", "/a/Echo").await;
    let (request, code, ..) = router.hear_reply().await;
    assert_eq!((request.as_str(), code), ("2", FAILURE));
}

#[tokio::test]
async fn a_new_binding_takes_the_place_of_the_old_one() {
    let (_listener, mut router, bus) = connected().await;
    bind(&bus, &mut router, "/a").await;
    router.call("1", "/a/Never").await;
    // The daemon knows the address already.
    bus.bind("/a".into(), Arc::new(Service), PATIENCE).await.unwrap();
    router.call("2", "/a/Echo").await;
    assert_eq!(router.hear_reply().await.0, "2");
}

#[tokio::test]
async fn what_is_no_bus_is_told() {
    let (listener, address) = listen().await;
    let web = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    };
    let (connected, ()) = tokio::join!(Bus::connect(address), web);
    assert!(matches!(connected, Err(BusDown::Greeting(_))), "{connected:?}");
    let (listener, address) = listen().await;
    drop(listener);
    let connected = Bus::connect(address).await;
    assert!(matches!(connected, Err(BusDown::Connect(_))), "{connected:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_in_the_file_system_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        Router::greet(Box::new(stream)).await
    };
    let (mut router, bus) = tokio::join!(accept, Bus::connect(GsbAddress::Unix(path.clone())));
    bind(&bus.unwrap(), &mut router, "/a").await;
}

/// A session over memory, where tokio's clock can be paused.
async fn session() -> (Arc<Shared>, Greeted, Router) {
    let shared = Arc::new(Shared {
        address: GsbAddress::default(),
        instance: Bytes::from_static(b"i"),
        services: Mutex::default(),
        changed: Notify::new(),
        link: watch::channel(None).0,
    });
    let (near, far): (DuplexStream, DuplexStream) = duplex(1024);
    let (greeted, router) =
        tokio::join!(session::greet(Box::new(near), &shared.instance), Router::greet(Box::new(far)));
    (shared, greeted.unwrap(), router)
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_falls_silent_is_asked_and_then_given_up() {
    let (shared, greeted, mut router) = session().await;
    let began = Instant::now();
    let listen = async {
        assert_eq!(router.reader.next().await.unwrap(), Body::Ping(Empty {}));
        router.say(Body::Pong(Empty {})).await;
        let answered = Instant::now();
        while let Ok(body) = router.reader.next().await {
            assert_eq!(body, Body::Ping(Empty {}));
        }
        answered
    };
    let run = async {
        let ended = session::run(&shared, greeted).await;
        (ended, Instant::now())
    };
    let ((ended, at), answered) = tokio::join!(run, listen);
    assert!(matches!(ended, SessionError::Silent), "{ended:?}");
    assert!(answered - began >= Duration::from_secs(10));
    let silence = at - answered;
    assert!((Duration::from_secs(30)..Duration::from_secs(40)).contains(&silence), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_reads_nothing_is_given_up() {
    let (shared, greeted, mut router) = session().await;
    shared
        .services()
        .insert("/a".into(), super::Service::new(Arc::new(Service), watch::channel(Registration::Waiting).0));
    let flood = async {
        for number in 0..200 {
            let call = Body::Call(Call {
                caller: String::new(),
                address: "/a/Echo".into(),
                request: number.to_string(),
                data: vec![0; 512].into(),
                no_reply: false,
            });
            if router.writer.write_all(&call.into_frame()).await.is_err() {
                break;
            }
        }
    };
    let began = Instant::now();
    let (ended, ()) = tokio::join!(session::run(&shared, greeted), flood);
    assert!(matches!(ended, SessionError::Silent), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}
