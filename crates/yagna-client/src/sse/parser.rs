//! The text/event-stream format (HTML Living Standard, section 9.2.6), fed in pieces of any size.

use std::collections::VecDeque;

/// No line and no event of the daemon is anywhere near this; beyond it the stream is garbage.
const LONGEST: usize = 64 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// Its type; `message` when the sender gave none.
    pub(super) name: String,
    /// Its lines, joined.
    pub(super) data: String,
}

/// A line or an event longer than anything the daemon sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream of events holds a line or an event of more than {LONGEST} bytes")]
pub(super) struct TooLong;

/// Takes bytes as they come and gives the events that are complete.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// The last byte was a CR: an LF right after it ends nothing.
    after_cr: bool,
    begun: bool,
    name: String,
    data: Option<String>,
    ready: VecDeque<SseEvent>,
}

impl Parser {
    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        if self.after_cr
            && let [first, rest @ ..] = bytes
        {
            self.after_cr = false;
            if *first == b'\n' {
                bytes = rest;
            }
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line.extend_from_slice(&bytes[..end]);
            self.end_line();
            let cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if cr {
                match bytes {
                    [b'\n', rest @ ..] => bytes = rest,
                    [] => self.after_cr = true,
                    _ => {}
                }
            }
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() + self.data.as_ref().map_or(0, String::len) > LONGEST {
            return Err(TooLong);
        }
        Ok(())
    }

    /// The next event that is complete.
    pub(super) fn next(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = text.as_ref();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.end_event();
        } else {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.name),
                "data" => match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                },
                // Comments, such as `:ping`; ids, which nobody asks to resume from; what isn't known.
                _ => {}
            }
        }
        // The buffer is kept for the next line, unless it was a long one.
        if bytes.capacity() <= 64 * 1024 {
            self.line = bytes;
            self.line.clear();
        }
    }

    fn end_event(&mut self) {
        let name = std::mem::take(&mut self.name);
        if let Some(data) = self.data.take() {
            let name = if name.is_empty() { "message".to_owned() } else { name };
            self.ready.push_back(SseEvent { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.push(piece).unwrap();
        }
        std::iter::from_fn(|| parser.next()).map(|event| (event.name, event.data)).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let table: [(&str, &[(&str, &str)]); 14] = [
            ("event: runtime\ndata: {}\nid: 0\n\n", &[("runtime", "{}")]),
            ("event:runtime\r\ndata:{}\r\n\r\n", &[("runtime", "{}")]),
            ("event: a\rdata: 1\r\rdata: 2\r\r", &[("a", "1"), ("message", "2")]),
            ("data: one\ndata: two\n\n", &[("message", "one\ntwo")]),
            (":ping\n:ping\ndata: x\n:ping\n\n", &[("message", "x")]),
            ("data:  two spaces\n\n", &[("message", " two spaces")]),
            ("data\n\n", &[("message", "")]),
            ("data: a:b\n\n", &[("message", "a:b")]),
            ("event: lonely\n\ndata: x\n\n", &[("message", "x")]),
            ("\u{feff}data: x\n\n", &[("message", "x")]),
            ("retry: 5\nunknown: y\ndata: x\n\n", &[("message", "x")]),
            ("data: never ended\n", &[]),
            ("data: never ended", &[]),
            ("\n\n\r\n\r", &[]),
        ];
        for (text, expected) in table {
            let got = parse([text.as_bytes()]);
            let got: Vec<_> = got.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
            assert_eq!(got, expected, "{text:?}");
        }
    }

    #[test]
    fn where_the_stream_is_split_makes_no_difference() {
        let text = "\u{feff}:ping\r\nevent: runtime\r\ndata: {\"ż\":1}\r\n\r\nevent: a\rdata: 1\r\r\ndata: x\ndata: y\n\n:ping\ndata: 2\n\n";
        let bytes = text.as_bytes();
        let whole = parse([bytes]);
        assert_eq!(whole.len(), 4);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(parse(pieces), whole, "split at {first} and {second}");
            }
        }
        assert_eq!(parse(bytes.chunks(1)), whole);
    }

    #[test]
    fn a_stream_without_lines_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; LONGEST / 4];
        let results: Vec<_> = (0..5).map(|_| parser.push(&piece)).collect();
        assert_eq!(results.last(), Some(&Err(TooLong)));
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
    }
}
