//! Vectors of three numbers, for points, directions and colours.

use std::ops::{Add, Mul, Neg, Sub};

/// Three numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vector(pub(crate) f64, pub(crate) f64, pub(crate) f64);

impl Vector {
    pub(crate) fn dot(self, other: Self) -> f64 {
        self.0 * other.0 + self.1 * other.1 + self.2 * other.2
    }

    /// In the same direction, of length 1.
    pub(crate) fn unit(self) -> Self {
        self * (1.0 / self.dot(self).sqrt())
    }

    /// Number by number, as light falls on a colour.
    pub(crate) fn tint(self, other: Self) -> Self {
        Self(self.0 * other.0, self.1 * other.1, self.2 * other.2)
    }

    /// Between the two: `self` at 0, `other` at 1.
    pub(crate) fn mix(self, other: Self, share: f64) -> Self {
        self * (1.0 - share) + other * share
    }

    /// The direction of a ray that comes in this direction and is thrown back by a surface.
    pub(crate) fn reflect(self, normal: Self) -> Self {
        self - normal * (2.0 * self.dot(normal))
    }
}

impl Add for Vector {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1, self.2 + other.2)
    }
}

impl Sub for Vector {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1, self.2 - other.2)
    }
}

impl Neg for Vector {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0, -self.1, -self.2)
    }
}

impl Mul<f64> for Vector {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self(self.0 * factor, self.1 * factor, self.2 * factor)
    }
}
