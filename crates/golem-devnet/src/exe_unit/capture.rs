//! The captured output of a program, and the form in which it is given out.

use std::collections::VecDeque;

use yagna_api::activity::{CaptureFormat, CaptureMode, Output};

/// One stream of one command, kept as asked for.
#[derive(Debug)]
pub(super) struct Captured {
    head: Vec<u8>,
    head_left: u64,
    tail: VecDeque<u8>,
    tail_limit: u64,
    format: CaptureFormat,
    streamed: bool,
    /// The beginning of a character whose end hasn't come yet, when text is streamed.
    unfinished: Vec<u8>,
}

impl Captured {
    /// Nothing yet. Without a mode nothing ever.
    pub(super) fn new(mode: Option<&CaptureMode>) -> Self {
        let (head, tail, format, streamed) = match mode {
            None => (0, 0, None, false),
            Some(CaptureMode::Stream { limit, format }) => (limit.unwrap_or(u64::MAX), 0, *format, true),
            Some(CaptureMode::AtEnd { head, tail, head_tail, format }) => {
                let (head, tail) = match (head, tail, head_tail) {
                    (Some(head), _, _) => (*head, 0),
                    (None, Some(tail), _) => (0, *tail),
                    (None, None, Some(both)) => (both.div_ceil(2), both / 2),
                    (None, None, None) => (u64::MAX, 0),
                };
                (head, tail, *format, false)
            }
        };
        Self {
            head: Vec::new(),
            head_left: head,
            tail: VecDeque::new(),
            tail_limit: tail,
            format: format.unwrap_or(CaptureFormat::Str),
            streamed,
            unfinished: Vec::new(),
        }
    }

    /// Keeps what is to be kept of a piece, and gives what is to be told at once.
    pub(super) fn push(&mut self, piece: &[u8]) -> Option<Output> {
        let fits = usize::try_from(self.head_left).map_or(piece.len(), |left| left.min(piece.len()));
        let (kept, rest) = piece.split_at(fits);
        self.head_left -= fits as u64;
        self.head.extend_from_slice(kept);
        self.push_tail(rest);
        if kept.is_empty() || !self.streamed {
            return None;
        }
        match self.format {
            CaptureFormat::Bin => Some(Output::Bytes(kept.to_vec())),
            CaptureFormat::Str => self.whole_characters(kept),
        }
    }

    /// The rest that is to be reported when the stream has ended.
    pub(super) fn end(&mut self) -> Option<Output> {
        self.head.shrink_to_fit();
        self.tail.shrink_to_fit();
        let rest = std::mem::take(&mut self.unfinished);
        (!rest.is_empty()).then(|| Output::Text(String::from_utf8_lossy(&rest).into_owned()))
    }

    /// The number of bytes that are kept.
    pub(super) fn size(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64
    }

    /// The kept output as results show it: nothing is `None`; bytes that are not UTF-8 become the characters of the
    /// same numbers, as in Golem's own exe-unit.
    pub(super) fn output(&self) -> Option<Output> {
        if self.size() == 0 {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.head.len() + self.tail.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend(&self.tail);
        Some(match self.format {
            CaptureFormat::Bin => Output::Bytes(bytes),
            CaptureFormat::Str => Output::Text(
                String::from_utf8(bytes)
                    .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect()),
            ),
        })
    }

    fn push_tail(&mut self, piece: &[u8]) {
        let limit = usize::try_from(self.tail_limit).unwrap_or(usize::MAX);
        let piece = &piece[piece.len().saturating_sub(limit)..];
        let over = (self.tail.len() + piece.len()).saturating_sub(limit);
        self.tail.drain(..over);
        self.tail.extend(piece);
    }

    fn whole_characters(&mut self, piece: &[u8]) -> Option<Output> {
        let mut bytes = std::mem::take(&mut self.unfinished);
        bytes.extend_from_slice(piece);
        self.unfinished = bytes.split_off(bytes.len() - unfinished_at_end(&bytes));
        (!bytes.is_empty()).then(|| Output::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// The number of bytes at the end that begin a character which more bytes may complete.
fn unfinished_at_end(bytes: &[u8]) -> usize {
    for (count, byte) in bytes.iter().rev().take(3).enumerate() {
        let needs = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if needs > count + 1 { count + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(
        head: Option<u64>,
        tail: Option<u64>,
        head_tail: Option<u64>,
        format: CaptureFormat,
    ) -> CaptureMode {
        CaptureMode::AtEnd { head, tail, head_tail, format: Some(format) }
    }

    fn text(text: &str) -> Output {
        Output::Text(text.to_owned())
    }

    #[test]
    fn limits_keep_the_right_part_however_it_is_cut() {
        let str = CaptureFormat::Str;
        for (mode, kept) in [
            (None, None),
            (Some(at_end(None, None, None, str)), Some(text("abcdefghij"))),
            (Some(at_end(Some(4), None, None, str)), Some(text("abcd"))),
            (Some(at_end(None, Some(4), None, str)), Some(text("ghij"))),
            (Some(at_end(None, None, Some(5), str)), Some(text("abcij"))),
            (Some(at_end(None, None, Some(20), str)), Some(text("abcdefghij"))),
            (Some(at_end(None, None, Some(10), str)), Some(text("abcdefghij"))),
            (Some(at_end(Some(0), None, None, str)), None),
            (Some(at_end(None, Some(0), None, str)), None),
            (Some(CaptureMode::Stream { limit: Some(3), format: None }), Some(text("abc"))),
        ] {
            for size in [1, 3, 4, 10] {
                let mut captured = Captured::new(mode.as_ref());
                for piece in b"abcdefghij".chunks(size) {
                    captured.push(piece);
                }
                assert_eq!(captured.output(), kept, "{mode:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn no_utf8_is_latin_1_in_results_and_bytes_where_asked() {
        let mut captured = Captured::new(Some(&at_end(None, None, None, CaptureFormat::Str)));
        captured.push(b"\xffa\xe9");
        assert_eq!(captured.output(), Some(text("\u{ff}a\u{e9}")));
        let mut captured = Captured::new(Some(&at_end(None, None, None, CaptureFormat::Bin)));
        captured.push(b"\xffa");
        assert_eq!(captured.output(), Some(Output::Bytes(vec![255, 97])));
        assert_eq!(Captured::new(Some(&at_end(None, None, None, CaptureFormat::Bin))).output(), None);
    }

    #[test]
    fn a_streamed_character_isnt_cut() {
        let mode = CaptureMode::Stream { limit: None, format: Some(CaptureFormat::Str) };
        for sample in ["é", "aé", "€uro", "𝄞", "x𝄞y", "日本語"] {
            let mut captured = Captured::new(Some(&mode));
            let mut told = String::new();
            let mut take = |output: Option<Output>| {
                if let Some(Output::Text(text)) = output {
                    told.push_str(&text);
                }
            };
            for byte in sample.bytes() {
                take(captured.push(&[byte]));
            }
            take(captured.end());
            assert_eq!(told, sample);
        }
        let mut captured = Captured::new(Some(&mode));
        assert_eq!(captured.push(b"a\xff\xe2"), Some(text("a\u{fffd}")));
        assert_eq!(captured.end(), Some(text("\u{fffd}")));
    }

    #[test]
    fn streams_tell_each_piece_up_to_the_limit() {
        let mut captured = Captured::new(Some(&CaptureMode::Stream { limit: Some(4), format: None }));
        assert_eq!(captured.push(b"abc"), Some(text("abc")));
        assert_eq!(captured.push(b"def"), Some(text("d")));
        assert_eq!(captured.push(b"g"), None);
    }
}
