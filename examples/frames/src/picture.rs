//! Pictures: made, put together, written and read as PNG.

use std::io::Cursor;

use png::{BitDepth, ColorType, Compression, Decoder, DecodingError, Encoder, EncodingError, Limits};

/// No picture that is read has more bytes than this.
const LARGEST: usize = 64 * 1024 * 1024;
/// Pixels between the pictures of a contact sheet.
const GAP: u32 = 4;

/// A picture: rows from the top, each pixel red, green, blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) rgb: Vec<u8>,
}

/// Why a picture can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// It is no PNG, or a broken one.
    #[error("the picture can't be read")]
    Unreadable(#[from] DecodingError),
    /// A PNG of another kind than those made here.
    #[error("the picture isn't made of red, green and blue bytes")]
    OtherKind,
    /// It can't be written.
    #[error("the picture can't be written")]
    Unwritable(#[from] EncodingError),
}

impl Picture {
    /// How many pixels wide and high it is.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// As a PNG.
    ///
    /// **Errors**: [`PictureError::Unwritable`] for a picture without pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Reads what [`Picture::to_png`] wrote; what comes from strangers does no harm.
    ///
    /// **Errors**: [`PictureError`] for what is no PNG, or one of another kind.
    pub fn from_png(bytes: &[u8]) -> Result<Self, PictureError> {
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: LARGEST });
        decoder.ignore_checksums(false);
        let mut reader = decoder.read_info()?;
        let size = reader.output_buffer_size().filter(|size| *size <= LARGEST);
        let mut rgb = vec![0; size.ok_or(PictureError::OtherKind)?];
        let frame = reader.next_frame(&mut rgb)?;
        if (frame.color_type, frame.bit_depth) != (ColorType::Rgb, BitDepth::Eight) {
            return Err(PictureError::OtherKind);
        }
        Ok(Self { width: frame.width, height: frame.height, rgb })
    }

    /// Pictures of one size in rows of so many, on a dark ground: a contact sheet.
    pub fn sheet(pictures: &[Self], columns: usize) -> Option<Self> {
        let first = pictures.first()?;
        if pictures.iter().any(|picture| picture.size() != first.size()) {
            return None;
        }
        let columns = columns.clamp(1, pictures.len());
        let rows = pictures.len().div_ceil(columns);
        let extent = |n: usize, size: u32| Some(u32::try_from(n).ok()?.checked_mul(size + GAP)? + GAP);
        let (width, height) = (extent(columns, first.width)?, extent(rows, first.height)?);
        let mut rgb = vec![24; width as usize * height as usize * 3];
        for (number, picture) in pictures.iter().enumerate() {
            let left = extent(number % columns, first.width)? as usize;
            let top = extent(number / columns, first.height)? as usize;
            for (row, line) in picture.rgb.chunks_exact(first.width as usize * 3).enumerate() {
                let start = ((top + row) * width as usize + left) * 3;
                rgb[start..start + line.len()].copy_from_slice(line);
            }
        }
        Some(Self { width, height, rgb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, byte: u8) -> Picture {
        Picture { width, height, rgb: vec![byte; (width * height * 3) as usize] }
    }

    #[test]
    fn what_is_written_is_read() {
        let rgb = (0..=255).cycle().take(30 * 20 * 3).collect();
        let picture = Picture { width: 30, height: 20, rgb };
        assert_eq!(Picture::from_png(&picture.to_png().unwrap()).unwrap(), picture);
        assert!(matches!(plain(0, 0, 0).to_png(), Err(PictureError::Unwritable(_))));
    }

    #[test]
    fn what_is_no_picture_is_told() {
        let good = plain(8, 8, 7).to_png().unwrap();
        assert!(matches!(Picture::from_png(b"no picture"), Err(PictureError::Unreadable(_))));
        assert!(matches!(Picture::from_png(&good[..good.len() / 2]), Err(PictureError::Unreadable(_))));
        let mut grey = Vec::new();
        let mut writer = Encoder::new(&mut grey, 1, 1).write_header().unwrap();
        writer.write_image_data(&[0]).unwrap();
        writer.finish().unwrap();
        assert!(matches!(Picture::from_png(&grey), Err(PictureError::OtherKind)));
    }

    #[test]
    fn a_sheet_has_every_picture_in_its_place() {
        let pictures = [plain(3, 2, 100), plain(3, 2, 150), plain(3, 2, 200)];
        let sheet = Picture::sheet(&pictures, 2).unwrap();
        assert_eq!(sheet.size(), (2 * (3 + GAP) + GAP, 2 * (2 + GAP) + GAP));
        let pixel = |x: u32, y: u32| sheet.rgb[((y * sheet.width + x) * 3) as usize];
        assert_eq!(pixel(GAP, GAP), 100);
        assert_eq!(pixel(2 * GAP + 5, GAP + 1), 150);
        assert_eq!(pixel(GAP + 2, 2 * GAP + 3), 200);
        assert_eq!(pixel(0, 0), 24);
        for byte in [100, 150, 200] {
            let own: Vec<_> = sheet.rgb.iter().filter(|own| **own == byte).collect();
            assert_eq!(own.len(), 3 * 2 * 3, "{byte}");
        }
        assert_eq!(Picture::sheet(&[], 3), None);
        assert_eq!(Picture::sheet(&[plain(3, 2, 0), plain(2, 3, 0)], 3), None);
    }
}
