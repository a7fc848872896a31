//! What the animation and its renderer have in common: the scene, the ray tracer, and pictures as PNG.
//!
//! The same frame comes out the same to the last bit on every machine: only additions, multiplications, divisions and
//! square roots are used, whose results the standard for floating point fixes. So a frame can be checked, and the
//! picture in the README by a test.

mod picture;
mod scene;
mod trace;
mod vector;

pub use self::picture::{Picture, PictureError};
pub use self::scene::Scene;
pub use self::trace::render;
