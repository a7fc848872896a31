//! Random bytes that both ends know from a seed, so that every one of them is compared.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A piece is sent, or compared, at once. Not a divisor of a frame.
const PIECE: usize = 50_021;

/// The bytes of a seed, piece by piece.
pub(crate) struct Pieces {
    random: fastrand::Rng,
    left: usize,
}

impl Pieces {
    pub(crate) fn new(seed: u64, length: usize) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), left: length }
    }
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let count = self.left.min(PIECE);
        self.left -= count;
        // A whole piece is drawn, so that what comes next doesn't depend on where the last one was cut.
        let mut piece = vec![0; PIECE];
        self.random.fill(&mut piece);
        piece.truncate(count);
        (count > 0).then_some(piece)
    }
}

pub(crate) async fn send(to: &mut (impl AsyncWrite + Unpin), seed: u64, length: usize) {
    for piece in Pieces::new(seed, length) {
        to.write_all(&piece).await.unwrap();
    }
    to.flush().await.unwrap();
}

/// Reads so many bytes, and compares each.
pub(crate) async fn expect(from: &mut (impl AsyncRead + Unpin), seed: u64, length: usize) {
    for (place, piece) in Pieces::new(seed, length).enumerate() {
        let mut read = vec![0; piece.len()];
        from.read_exact(&mut read).await.unwrap();
        assert!(read == piece, "the bytes of piece {place} differ");
    }
}
