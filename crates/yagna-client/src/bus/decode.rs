//! Reads FlexBuffers that a stranger may have written.
//!
//! What a provider's machine sends arrives here, so nothing in a frame is believed: every offset is checked,
//! and neither depth nor sharing can make a small frame a large value. The format is described in
//! "FlexBuffers internals", a page of its project.

use bytes::Bytes;

use super::value::BusValue;

/// The greatest depth to which values may be nested.
const DEEPEST: u32 = 32;

/// For how many values memory is set aside before they are seen.
const PLANNED: usize = 4096;

/// A frame that isn't FlexBuffers, or not honestly so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BusValueError {
    /// An offset or a length points outside the frame.
    #[error("the frame ends before its values do")]
    OutOfBounds,
    /// A type or a width that the format doesn't have.
    #[error("the frame holds a type that FlexBuffers doesn't have")]
    UnknownType,
    /// Text that is no UTF-8.
    #[error("the frame holds text that is no UTF-8")]
    NotText,
    /// More depth or more values than a frame of its size can honestly hold.
    #[error("the frame holds more than its size allows")]
    TooMuch,
}

use BusValueError::{NotText, OutOfBounds, TooMuch, UnknownType};

type Result<T> = std::result::Result<T, BusValueError>;

pub(super) fn decode(frame: &Bytes) -> Result<BusValue> {
    let [.., packed, width] = frame[..] else {
        return Err(OutOfBounds);
    };
    let width = Width::of_bytes(width)?;
    let slot = (frame.len() - 2).checked_sub(width.0).ok_or(OutOfBounds)?;
    let mut reader = Reader { frame, values_left: frame.len(), text_left: frame.len().saturating_mul(4) };
    reader.value(slot, width, packed, 0)
}

/// A width in bytes: 1, 2, 4 or 8.
#[derive(Debug, Clone, Copy)]
struct Width(usize);

impl Width {
    fn of_bytes(bytes: u8) -> Result<Self> {
        match bytes {
            1 | 2 | 4 | 8 => Ok(Self(bytes.into())),
            _ => Err(UnknownType),
        }
    }

    fn of_packed(packed: u8) -> Self {
        Self(1 << (packed & 3))
    }
}

struct Reader<'a> {
    frame: &'a Bytes,
    /// Every value has a slot of at least a byte, if no slot is read twice.
    values_left: usize,
    /// Text may be shared a few times, as names of maps are.
    text_left: usize,
}

impl Reader<'_> {
    /// The value whose slot of the given width is here.
    fn value(&mut self, slot: usize, width: Width, packed: u8, depth: u32) -> Result<BusValue> {
        self.values_left = self.values_left.checked_sub(1).ok_or(TooMuch)?;
        let kind = packed >> 2;
        match kind {
            0 => Ok(BusValue::Null),
            1 => self.int(slot, width).map(BusValue::Int),
            2 => self.uint(slot, width).map(BusValue::UInt),
            3 => self.float(slot, width).map(BusValue::Float),
            26 => Ok(BusValue::Bool(self.uint(slot, width)? != 0)),
            _ => {
                let at = self.target(slot, width)?;
                self.referred(kind, at, Width::of_packed(packed), depth)
            }
        }
    }

    /// A value that lies elsewhere.
    fn referred(&mut self, kind: u8, at: usize, width: Width, depth: u32) -> Result<BusValue> {
        if depth > DEEPEST {
            return Err(TooMuch);
        }
        match kind {
            4 => self.key(at).map(BusValue::Text),
            5 => {
                let length = self.length(at, width)?;
                self.text(at, length).map(BusValue::Text)
            }
            6 => self.int(at, width).map(BusValue::Int),
            7 => self.uint(at, width).map(BusValue::UInt),
            8 => self.float(at, width).map(BusValue::Float),
            9 => self.map(at, width, depth),
            10 => {
                let length = self.length(at, width)?;
                self.mixed(at, length, width, depth).map(BusValue::List)
            }
            // Vectors of one kind, which say their length.
            11..=14 => {
                let length = self.length(at, width)?;
                self.uniform(at, length, width, kind - 10, depth)
            }
            36 => {
                let length = self.length(at, width)?;
                self.uniform(at, length, width, 26, depth)
            }
            // Vectors of two, three and four integers, naturals or floats.
            16..=24 => {
                let (length, kind) = ((kind - 16) / 3 + 2, (kind - 16) % 3 + 1);
                self.uniform(at, length.into(), width, kind, depth)
            }
            25 => {
                let length = self.length(at, width)?;
                let bytes = self.bytes(at, length)?;
                Ok(BusValue::Bytes(self.frame.slice_ref(bytes)))
            }
            _ => Err(UnknownType),
        }
    }

    fn map(&mut self, at: usize, width: Width, depth: u32) -> Result<BusValue> {
        let length = self.length(at, width)?;
        let keys_slot = at.checked_sub(3 * width.0).ok_or(OutOfBounds)?;
        let keys = self.target(keys_slot, width)?;
        let keys_width = self.uint(at - 2 * width.0, width)?;
        let keys_width = Width::of_bytes(u8::try_from(keys_width).map_err(|_| UnknownType)?)?;
        let values = self.mixed(at, length, width, depth)?;
        let mut entries = std::collections::BTreeMap::new();
        for (index, value) in values.into_iter().enumerate() {
            let slot = slot(keys, index, keys_width)?;
            let key = self.target(slot, keys_width)?;
            entries.insert(self.key(key)?, value);
        }
        Ok(BusValue::Map(entries))
    }

    /// Values that each have a type, which stands behind them all.
    fn mixed(&mut self, at: usize, length: usize, width: Width, depth: u32) -> Result<Vec<BusValue>> {
        let types = slot(at, length, width)?;
        self.bytes(types, length)?;
        let mut values = Vec::with_capacity(length.min(PLANNED));
        for index in 0..length {
            let packed = self.frame[types + index];
            values.push(self.value(slot(at, index, width)?, width, packed, depth + 1)?);
        }
        Ok(values)
    }

    /// Values of one kind.
    fn uniform(&mut self, at: usize, length: usize, width: Width, kind: u8, depth: u32) -> Result<BusValue> {
        self.bytes(at, slot(0, length, width)?)?;
        let packed = kind << 2;
        let mut values = Vec::with_capacity(length.min(PLANNED));
        for index in 0..length {
            values.push(self.value(slot(at, index, width)?, width, packed, depth + 1)?);
        }
        Ok(BusValue::List(values))
    }

    /// The position that the offset in a slot points to: always backwards.
    fn target(&self, slot: usize, width: Width) -> Result<usize> {
        let offset = usize::try_from(self.uint(slot, width)?).map_err(|_| OutOfBounds)?;
        slot.checked_sub(offset).ok_or(OutOfBounds)
    }

    /// The length that stands before a vector, a text or bytes.
    fn length(&self, at: usize, width: Width) -> Result<usize> {
        let slot = at.checked_sub(width.0).ok_or(OutOfBounds)?;
        usize::try_from(self.uint(slot, width)?).map_err(|_| OutOfBounds)
    }

    fn bytes(&self, at: usize, length: usize) -> Result<&[u8]> {
        let end = at.checked_add(length).ok_or(OutOfBounds)?;
        self.frame.get(at..end).ok_or(OutOfBounds)
    }

    fn text(&mut self, at: usize, length: usize) -> Result<String> {
        self.text_left = self.text_left.checked_sub(length).ok_or(TooMuch)?;
        let text = std::str::from_utf8(self.bytes(at, length)?).map_err(|_| NotText)?;
        Ok(text.to_owned())
    }

    /// A text that ends with a NUL.
    fn key(&mut self, at: usize) -> Result<String> {
        let rest = self.frame.get(at..).ok_or(OutOfBounds)?;
        let length = rest.iter().position(|byte| *byte == 0).ok_or(OutOfBounds)?;
        self.text(at, length)
    }

    fn uint(&self, at: usize, width: Width) -> Result<u64> {
        let mut number = [0; 8];
        number[..width.0].copy_from_slice(self.bytes(at, width.0)?);
        Ok(u64::from_le_bytes(number))
    }

    fn int(&self, at: usize, width: Width) -> Result<i64> {
        let bytes = self.bytes(at, width.0)?;
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut number = [if negative { 0xff } else { 0 }; 8];
        number[..width.0].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(number))
    }

    fn float(&self, at: usize, width: Width) -> Result<f64> {
        let bytes = self.bytes(at, width.0)?;
        if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
            Ok(f32::from_le_bytes(bytes).into())
        } else if let Ok(bytes) = <[u8; 8]>::try_from(bytes) {
            Ok(f64::from_le_bytes(bytes))
        } else {
            Err(UnknownType)
        }
    }
}

fn slot(at: usize, index: usize, width: Width) -> Result<usize> {
    let offset = index.checked_mul(width.0).ok_or(OutOfBounds)?;
    at.checked_add(offset).ok_or(OutOfBounds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    fn any(rng: &mut fastrand::Rng, depth: u32) -> BusValue {
        match rng.u32(0..if depth > 3 { 7 } else { 9 }) {
            0 => BusValue::Null,
            1 => BusValue::Bool(rng.bool()),
            2 => BusValue::UInt(rng.u64(..) >> rng.u32(0..64)),
            3 => BusValue::Int(rng.i64(..) >> rng.u32(0..64)),
            4 => BusValue::Float(rng.f64() * 1e6 - 5e5),
            5 => BusValue::Text((0..rng.usize(0..300)).map(|_| rng.char('a'..'ż')).collect()),
            6 => BusValue::Bytes((0..rng.usize(0..70_000)).map(|_| rng.u8(..)).collect()),
            7 => BusValue::List((0..rng.usize(0..6)).map(|_| any(rng, depth + 1)).collect()),
            _ => BusValue::Map(
                (0..rng.usize(0..6))
                    .map(|n| (format!("name {n} {}", rng.u8(..)), any(rng, depth + 1)))
                    .collect::<BTreeMap<_, _>>(),
            ),
        }
    }

    #[test]
    fn every_value_survives_the_round_trip() {
        let mut rng = fastrand::Rng::with_seed(3);
        for round in 0..500 {
            let value = any(&mut rng, 0);
            assert_eq!(BusValue::decode(&value.encode()), Ok(value), "round {round}");
        }
    }

    #[test]
    fn lists_of_one_kind_are_written_in_a_form_of_their_own_and_read_all_the_same() {
        for length in 0..300_u64 {
            for list in [
                (0..length).map(BusValue::UInt).collect::<Vec<_>>(),
                (0..length).map(|n| BusValue::Int(-1000 * i64::try_from(n).unwrap())).collect(),
                (0..length).map(|n| BusValue::Bool(n % 3 == 0)).collect(),
                (0..length).map(|_| BusValue::Float(0.5)).collect(),
            ] {
                let value = BusValue::map([("list", BusValue::List(list))]);
                assert_eq!(BusValue::decode(&value.encode()), Ok(value));
            }
        }
    }

    #[test]
    fn what_serde_writes_is_read() {
        #[derive(Serialize)]
        struct Chunk {
            offset: u64,
            content: Vec<u8>,
        }
        #[derive(Serialize)]
        struct Upload {
            chunk: Chunk,
            hash: Option<String>,
        }
        for length in [0, 1, 2, 3, 4, 5, 300, 40_960] {
            let content: Vec<_> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let upload = Upload { chunk: Chunk { offset: 1 << 40, content: content.clone() }, hash: None };
            let frame = Bytes::from(flexbuffers::to_vec(&upload).unwrap());
            let value = BusValue::decode(&frame).unwrap();
            let chunk = value.get("chunk").unwrap();
            assert_eq!(chunk.get("offset").unwrap().as_u64(), Some(1 << 40));
            assert_eq!(chunk.get("content").unwrap().to_bytes().unwrap(), content);
            assert_eq!(value.get("hash"), Some(&BusValue::Null));
        }
    }

    #[test]
    fn bytes_are_not_copied() {
        let frame = BusValue::map([("content", vec![7_u8; 40_960].into())]).encode();
        let content = BusValue::decode(&frame).unwrap().get("content").unwrap().to_bytes().unwrap();
        let (frame, content) = (frame.as_ptr_range(), content.as_ptr_range());
        assert!(frame.start <= content.start && content.end <= frame.end);
    }

    #[test]
    fn no_frame_makes_the_reader_panic_or_grow() {
        let mut rng = fastrand::Rng::with_seed(5);
        let honest = BusValue::map([
            ("id", BusValue::from("8d0c")),
            ("payload", BusValue::map([("chunk", vec![1_u8, 2, 3].into()), ("n", 70_000_u64.into())])),
            ("list", BusValue::List(vec![BusValue::from("a"), BusValue::Null, 1.5.into()])),
        ])
        .encode();
        for _ in 0..200_000 {
            let mut frame = honest.to_vec();
            for _ in 0..rng.usize(1..5) {
                let at = rng.usize(..frame.len());
                frame[at] = rng.u8(..);
            }
            frame.truncate(rng.usize(..=frame.len()));
            drop(BusValue::decode(&frame.into()));
        }
        for _ in 0..200_000 {
            let noise: Vec<_> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
            drop(BusValue::decode(&noise.into()));
        }
    }

    #[test]
    fn sharing_can_not_make_a_small_frame_a_large_value() {
        // Each vector holds the one before it twice: 2^30 values in some 150 bytes.
        let mut frame = vec![0_u8];
        let mut inner = 1;
        frame.push(0);
        for level in 0..30 {
            let kind = if level == 0 { 0 } else { 10 << 2 };
            frame.push(2);
            let at = frame.len();
            for slot in [at, at + 1] {
                frame.push(u8::try_from(slot - inner).unwrap());
            }
            frame.extend([kind, kind]);
            inner = at;
        }
        let root = frame.len();
        frame.push(u8::try_from(root - inner).unwrap());
        frame.extend([10 << 2, 1]);
        assert_eq!(BusValue::decode(&frame.into()), Err(TooMuch));
    }

    #[test]
    fn a_vector_can_not_hold_itself() {
        // One slot with the offset 1 points at its own length byte's neighbour: itself.
        let frame = vec![1_u8, 0, 10 << 2, 2, 10 << 2, 1];
        assert_eq!(BusValue::decode(&frame.into()), Err(TooMuch));
    }
}
