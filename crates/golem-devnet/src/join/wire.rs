//! The bus's packets on a stream of bytes: a length of four bytes, big end first, and a protobuf message.
//!
//! What a packet means is the business of [`bus`](super::bus); what it carries is that of [`message`](super::message).

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// No packet is larger: a daemon that announces more has lost its place in the stream.
pub(crate) const MAX_PACKET: usize = 64 * 1024 * 1024;
/// The size of the buffer, at the start and after large packets.
const READ: usize = 64 * 1024;

/// The reasons why a stream carries no more packets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the connection broke off")]
    Io(#[from] io::Error),
    #[error("the daemon closed the connection")]
    Closed,
    #[error("a packet of {0} bytes is too large")]
    TooLarge(usize),
    #[error("a packet can't be read")]
    Decode(#[from] prost::DecodeError),
}

/// One packet. Kinds that only the daemon's own modules use come as nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Packet {
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 14, 15")]
    pub(crate) body: Option<Body>,
}

/// The kinds of packets between a service and the daemon's router.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Body {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Register(ServiceName),
    #[prost(message, tag = "3")]
    Registered(Outcome),
    #[prost(message, tag = "4")]
    Unregister(ServiceName),
    #[prost(message, tag = "5")]
    Unregistered(Outcome),
    #[prost(message, tag = "6")]
    Call(Call),
    #[prost(message, tag = "7")]
    Reply(Reply),
    #[prost(message, tag = "14")]
    Ping(Empty),
    #[prost(message, tag = "15")]
    Pong(Empty),
}

/// The introduction of a connection. A second connection of the same instance takes the place of the first.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) instance: Bytes,
}

/// An address that somebody serves, with everything below it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ServiceName {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

/// The result of a registration: 0 is done, 409 is taken.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Outcome {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// A call of a service.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Call {
    #[prost(string, tag = "1")]
    pub(crate) caller: String,
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    #[prost(string, tag = "3")]
    pub(crate) request: String,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
    #[prost(bool, tag = "5")]
    pub(crate) no_reply: bool,
}

/// An answer to a call, or a part of one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Reply {
    #[prost(string, tag = "1")]
    pub(crate) request: String,
    /// 0 when the service answered; anything else means that `data` is text about what went wrong.
    #[prost(int32, tag = "2")]
    pub(crate) code: i32,
    /// 0 ends the answer, 1 doesn't.
    #[prost(int32, tag = "3")]
    pub(crate) kind: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) data: Bytes,
}

/// Nothing but its kind.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Empty {}

/// The service answered.
pub(crate) const OK: i32 = 0;
/// The service, or its host, failed.
pub(crate) const FAILURE: i32 = 500;
/// The answer ends with this.
pub(crate) const FULL: i32 = 0;
/// More of the answer follows.
pub(crate) const PARTIAL: i32 = 1;

impl Body {
    /// Its bytes on the stream.
    pub(crate) fn into_frame(self) -> Bytes {
        let packet = Packet { body: Some(self) };
        let length = packet.encoded_len();
        let mut frame = BytesMut::with_capacity(4 + length);
        frame.put_u32(u32::try_from(length).expect("messages are capped far below four gigabytes"));
        packet.encode(&mut frame).expect("the buffer grows as needed");
        frame.freeze()
    }
}

/// Takes packets off a stream.
#[derive(Debug)]
pub(crate) struct PacketReader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> PacketReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ) }
    }

    /// Waits for the next packet of a kind that we know. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Body, WireError> {
        loop {
            while let Some(frame) = self.take()? {
                if let Some(body) = Packet::decode(frame)?.body {
                    return Ok(body);
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(WireError::Closed);
            }
        }
    }

    /// A whole frame, if one is there.
    fn take(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(head) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_PACKET {
            return Err(WireError::TooLarge(length));
        }
        if self.buffer.len() < 4 + length {
            self.buffer.reserve(4 + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn call() -> Body {
        Body::Call(Call {
            caller: "/net/0x1".into(),
            address: "/public/exeunit/a/Exec".into(),
            request: "r1".into(),
            data: Bytes::from_static(&[0, 1, 255]),
            no_reply: false,
        })
    }

    fn all() -> Vec<Body> {
        let service = || ServiceName { service: "/public/exeunit/a".into() };
        let hello = Hello {
            name: "n".into(),
            version: "1".into(),
            instance: Bytes::from_static(b"0123456789abcdef"),
        };
        let reply =
            Reply { request: "r1".into(), code: FAILURE, kind: PARTIAL, data: Bytes::from_static(b"no") };
        vec![
            Body::Hello(hello),
            Body::Register(service()),
            Body::Registered(Outcome { code: 409, message: "taken".into() }),
            Body::Unregister(service()),
            Body::Unregistered(Outcome { code: 404, message: String::new() }),
            call(),
            Body::Reply(reply),
            Body::Ping(Empty {}),
            Body::Pong(Empty {}),
        ]
    }

    #[test]
    fn a_packet_has_the_bytes_that_the_daemon_expects() {
        let register = Body::Register(ServiceName { service: "/a".into() });
        assert_eq!(&register.into_frame()[..], [0, 0, 0, 6, 0x12, 4, 0x0a, 2, b'/', b'a']);
        assert_eq!(&Body::Pong(Empty {}).into_frame()[..], [0, 0, 0, 2, 0x7a, 0]);
        let reply = Body::Reply(Reply {
            request: "r".into(),
            code: FAILURE,
            kind: PARTIAL,
            data: Bytes::from_static(b"x"),
        });
        assert_eq!(
            &reply.into_frame()[..],
            [0, 0, 0, 13, 0x3a, 11, 0x0a, 1, b'r', 0x10, 0xf4, 0x03, 0x18, 1, 0x22, 1, b'x']
        );
    }

    #[tokio::test]
    async fn packets_survive_any_cut_of_the_stream() {
        let stream: Vec<u8> = all().into_iter().flat_map(Body::into_frame).collect();
        for size in [1, 2, 3, 5, 7, 64, stream.len()] {
            let (mut near, far) = tokio::io::duplex(size);
            let mut reader = PacketReader::new(far);
            let write = async {
                for piece in stream.chunks(size) {
                    near.write_all(piece).await.unwrap();
                }
                drop(near);
            };
            let read = async {
                let mut seen = Vec::new();
                loop {
                    match reader.next().await {
                        Ok(body) => seen.push(body),
                        Err(end) => return (seen, end),
                    }
                }
            };
            let ((), (seen, end)) = tokio::join!(write, read);
            assert_eq!(seen, all(), "in pieces of {size}");
            assert!(matches!(end, WireError::Closed));
        }
    }

    #[tokio::test]
    async fn kinds_we_dont_know_are_passed_over() {
        // A broadcast, tag 12.
        let mut stream = vec![0, 0, 0, 5, 0x62, 3, 0x0a, 1, b'x'];
        stream.extend_from_slice(&call().into_frame());
        assert_eq!(PacketReader::new(&stream[..]).next().await.unwrap(), call());
    }

    #[tokio::test]
    async fn a_packet_too_large_ends_the_stream_before_it_is_stored() {
        let mut stream = u32::try_from(MAX_PACKET + 1).unwrap().to_be_bytes().to_vec();
        stream.extend_from_slice(&[0; 100]);
        let mut reader = PacketReader::new(&stream[..]);
        assert!(matches!(reader.next().await, Err(WireError::TooLarge(size)) if size == MAX_PACKET + 1));
        assert!(reader.buffer.capacity() <= 2 * READ);
    }

    #[tokio::test]
    async fn junk_is_no_packet() {
        let stream = [0, 0, 0, 2, 0xff, 0xff];
        assert!(matches!(PacketReader::new(&stream[..]).next().await, Err(WireError::Decode(_))));
    }
}
