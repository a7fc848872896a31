//! The scene: coloured spheres that circle a mirror above a chequered floor, under an evening sky.

use crate::vector::Vector;

/// Spheres on the circle.
const CIRCLING: u32 = 6;
/// One of these per turn of the circle brings the picture back to itself; the colours go round with them.
const COLOURS: [Vector; CIRCLING as usize] = [
    Vector(0.93, 0.26, 0.21),
    Vector(0.98, 0.60, 0.13),
    Vector(0.97, 0.85, 0.25),
    Vector(0.27, 0.72, 0.45),
    Vector(0.16, 0.50, 0.85),
    Vector(0.55, 0.30, 0.78),
];

/// One moment of the animation.
#[derive(Debug, Clone)]
pub struct Scene {
    pub(crate) spheres: Vec<Sphere>,
}

/// A ball.
#[derive(Debug, Clone)]
pub(crate) struct Sphere {
    pub(crate) centre: Vector,
    pub(crate) radius: f64,
    pub(crate) colour: Vector,
    /// How much of what is seen in it is a reflection, from 0 to 1.
    pub(crate) mirror: f64,
}

impl Scene {
    /// The scene at frame `frame` of `frames`: after the last one comes the first again.
    pub fn at(frame: u32, frames: u32) -> Self {
        let turn = f64::from(frame) / f64::from(frames.max(1));
        let middle = Sphere {
            centre: Vector(0.0, 1.15, 0.0),
            radius: 1.15,
            colour: Vector(0.95, 0.96, 1.0),
            mirror: 0.82,
        };
        let mut spheres = vec![middle];
        for (number, colour) in (0..CIRCLING).zip(COLOURS) {
            let place = turn + f64::from(number) / f64::from(CIRCLING);
            let (sine, cosine) = circle(place);
            // Each one goes up and down twice a turn, the next one when this one is half way.
            let (height, _) = circle(turn * 2.0 + f64::from(number) / 3.0);
            let centre = Vector(2.25 * cosine, 0.72 + 0.24 * height, 2.25 * sine);
            spheres.push(Sphere { centre, radius: 0.48, colour, mirror: 0.16 });
        }
        Self { spheres }
    }

    /// The colour of the floor at a place.
    pub(crate) fn floor(place: Vector) -> Vector {
        let dark = (place.0.floor() + place.2.floor()).rem_euclid(2.0) < 1.0;
        if dark { Vector(0.10, 0.13, 0.24) } else { Vector(0.82, 0.84, 0.88) }
    }

    /// The colour of the sky in a direction of length 1.
    pub(crate) fn sky(direction: Vector) -> Vector {
        let height = direction.1.clamp(0.0, 1.0).sqrt();
        Vector(0.99, 0.80, 0.62).mix(Vector(0.10, 0.20, 0.46), height)
    }
}

/// Sine and cosine of an angle, given in turns.
///
/// The libraries of different systems differ in the last digits of theirs.
pub(crate) fn circle(turns: f64) -> (f64, f64) {
    let turns = turns - turns.floor();
    // In each quarter the angle is small enough for a few terms of the series.
    let quarter = (turns * 4.0).floor();
    let angle = (turns - quarter / 4.0) * std::f64::consts::TAU;
    let (mut sine, mut cosine) = (0.0, 0.0);
    let mut term = 1.0;
    for n in 0..24_u32 {
        let sign = if n % 4 < 2 { 1.0 } else { -1.0 };
        if n % 2 == 0 {
            cosine += sign * term;
        } else {
            sine += sign * term;
        }
        term *= angle / f64::from(n + 1);
    }
    if quarter < 1.0 {
        (sine, cosine)
    } else if quarter < 2.0 {
        (cosine, -sine)
    } else if quarter < 3.0 {
        (-sine, -cosine)
    } else {
        (-cosine, sine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_is_round() {
        for step in -100..300 {
            let turns = f64::from(step) / 97.0;
            let (sine, cosine) = circle(turns);
            let angle = turns * std::f64::consts::TAU;
            assert!((sine - angle.sin()).abs() < 1e-12, "{turns}");
            assert!((cosine - angle.cos()).abs() < 1e-12, "{turns}");
        }
    }

    #[test]
    fn the_animation_ends_where_it_began() {
        for (first, after) in Scene::at(0, 7).spheres.iter().zip(&Scene::at(7, 7).spheres) {
            let way = first.centre - after.centre;
            assert!(way.dot(way) < 1e-20);
        }
    }
}
