//! Requests that a provider should not send, and pieces in any order.

use super::*;

fn chunk(offset: u64, content: &'static [u8]) -> BusValue {
    BusValue::map([(
        "chunk",
        BusValue::map([
            ("offset", BusValue::UInt(offset)),
            ("content", BusValue::Bytes(Bytes::from_static(content))),
        ]),
    )])
}

fn finished(hash: Option<&str>) -> BusValue {
    BusValue::map([("hash", hash.map_or(BusValue::Null, |hash| BusValue::Text(hash.to_owned())))])
}

fn sha3(content: &[u8]) -> String {
    hex::encode(Sha3_256::digest(content))
}

fn memory(limit: u64) -> (Receipt, oneshot::Receiver<Bytes>) {
    let (sender, receiver) = oneshot::channel();
    (Receipt(Store::Memory { limit, bytes: BytesMut::new(), arrived: 0, sender: Some(sender) }), receiver)
}

#[tokio::test]
async fn pieces_may_come_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/file");
    let (memory, mut received) = memory(6);
    let file = Receipt(Store::create(path.clone(), None).await.unwrap());
    for mut receipt in [memory, file] {
        receipt.answer("UploadChunk", &chunk(4, b"ef")).await.unwrap();
        receipt.answer("UploadChunk", &chunk(0, b"abcd")).await.unwrap();
        let hash = sha3(b"abcdef").to_uppercase();
        receipt.answer("UploadFinished", &finished(Some(&hash))).await.unwrap();
    }
    assert_eq!(received.try_recv().unwrap(), "abcdef");
    assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
}

#[tokio::test]
async fn a_wrong_hash_and_a_missing_piece_are_refused_and_nothing_appears() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let wrong = sha3(b"something else");
    for (piece, hash) in [(chunk(0, b"abc"), Some(wrong.as_str())), (chunk(3, b"abc"), None)] {
        let (memory, mut received) = memory(100);
        let file = Receipt(Store::create(path.clone(), None).await.unwrap());
        for mut receipt in [memory, file] {
            receipt.answer("UploadChunk", &piece).await.unwrap();
            let fault = receipt.answer("UploadFinished", &finished(hash)).await.unwrap_err();
            assert_eq!(fault.kind, "IntegrityError", "{fault:?}");
        }
        assert!(received.try_recv().is_err());
        assert!(!path.exists());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no partial file is left");
}

#[tokio::test]
async fn what_doesnt_fit_is_refused_before_memory_is_taken() {
    let (mut receipt, _received) = memory(4);
    for offset in [2, u64::MAX - 1, u64::MAX, 1 << 40] {
        let fault = receipt.answer("UploadChunk", &chunk(offset, b"abc")).await.unwrap_err();
        assert_eq!(fault.kind, "WriteError", "{offset}: {fault:?}");
    }
    receipt.answer("UploadChunk", &chunk(0, b"abcd")).await.unwrap();
    assert!(receipt.answer("UploadChunk", &BusValue::Null).await.is_err());
    assert!(receipt.answer("Format", &BusValue::Null).await.is_err());
}

#[tokio::test]
async fn an_offer_gives_no_more_than_it_has_and_no_more_than_fits_a_message() {
    let mut offer = Offer(Content::Bytes(Bytes::from_static(b"abcdef")));
    let ask = |offset: u64, size: u64| {
        BusValue::map([("offset", BusValue::UInt(offset)), ("size", BusValue::UInt(size))])
    };
    for (offset, size, expected) in [(0, 3, "abc"), (4, 99, "ef"), (6, 1, ""), (0, u64::MAX, "abcdef")] {
        let answer = offer.answer("GetChunk", &ask(offset, size)).await.unwrap();
        let content = answer.get("content").and_then(BusValue::to_bytes).unwrap();
        assert_eq!(&content[..], expected.as_bytes());
    }
    assert!(offer.answer("GetChunk", &ask(7, 1)).await.is_err());
    assert!(offer.answer("GetChunk", &BusValue::Null).await.is_err());
    let mut large = Offer(Content::Bytes(vec![0; 10 * 1024 * 1024].into()));
    let answer = large.answer("GetChunk", &ask(0, u64::MAX)).await.unwrap();
    let content = answer.get("content").and_then(BusValue::to_bytes).unwrap();
    assert_eq!(content.len() as u64, MOST_AT_ONCE);
}

#[tokio::test]
async fn what_failed_or_has_arrived_may_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut receipt = Receipt::file(&path).await.unwrap();
    let hash = sha3(b"abc");
    receipt.answer("UploadChunk", &chunk(0, b"abx")).await.unwrap();
    assert_eq!(
        receipt.answer("UploadFinished", &finished(Some(&hash))).await.unwrap_err().kind,
        "IntegrityError"
    );
    receipt.answer("UploadChunk", &chunk(0, b"abc")).await.unwrap();
    receipt.answer("UploadFinished", &finished(Some(&hash))).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    // The answer got lost.
    receipt.answer("UploadFinished", &finished(Some(&hash))).await.unwrap();
    // Or something shorter comes to the same place: what is there stays until it is complete.
    receipt.answer("UploadChunk", &chunk(0, b"z")).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abc");
    receipt.answer("UploadFinished", &finished(Some(&sha3(b"z")))).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"z");
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), Path::new("/dev/null")] {
        let error = Receipt::file(path).await.unwrap_err();
        assert!(matches!(error, TransferError::Unwritable { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_to_be_named_by_others_is_only_kept_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"good").unwrap();
    let slot = ArrivalSlot::default();
    let mut receipt = Receipt::unnamed(path.clone(), slot.clone()).await.unwrap();
    // A provider delivers this for a file that doesn't exist.
    receipt.answer("UploadFinished", &finished(Some(&sha3(b"")))).await.unwrap();
    receipt.answer("UploadChunk", &chunk(0, b"better")).await.unwrap();
    receipt.answer("UploadFinished", &finished(Some(&sha3(b"better")))).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"good");
    drop(receipt);
    let arrival = slot.lock().unwrap().take().unwrap();
    arrival.name().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"better");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_regular_file_is_not_offered_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
        let opened = tokio::time::timeout(std::time::Duration::from_secs(10), Offer::file(path)).await;
        let error = opened.expect("nobody waits for the other end of a pipe").unwrap_err();
        assert!(matches!(error, TransferError::Unreadable { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_offer_knows_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"abc").unwrap();
    let mut offer = Offer::file(&path).await.unwrap();
    assert_eq!(offer.size(), 3);
    assert_eq!(offer.hash().await.unwrap(), sha3(b"abc"));
    assert_eq!(Offer::bytes(&b"abc"[..]).hash().await.unwrap(), sha3(b"abc"));
    std::fs::write(&path, b"abcdef").unwrap();
    assert!(offer.hash().await.is_err(), "it has grown");
}
