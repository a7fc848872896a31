//! The ray tracer: follows each ray of sight until it ends in the sky.

use crate::picture::Picture;
use crate::scene::Scene;
use crate::vector::Vector;

/// Rays for each pixel in each direction: edges are smooth.
const SAMPLES: u32 = 3;
/// A ray is thrown back so often, then it has lost its light.
const BOUNCES: u32 = 5;
/// What is nearer is the surface itself that the ray leaves.
const NEAR: f64 = 1e-6;
const EYE: Vector = Vector(0.0, 2.55, -6.6);
const LOOKS_AT: Vector = Vector(0.0, 0.78, 0.0);
/// How much the eye sees beside what it looks at.
const VIEW: f64 = 0.42;
const SUN: Vector = Vector(-0.55, 0.78, -0.42);

/// Something that a ray has met.
struct Meeting {
    distance: f64,
    place: Vector,
    normal: Vector,
    colour: Vector,
    mirror: f64,
    shine: f64,
}

/// Draws a scene, so many pixels wide and high.
pub fn render(scene: &Scene, width: u32, height: u32) -> Picture {
    let ahead = (LOOKS_AT - EYE).unit();
    let right = Vector(-ahead.2, 0.0, ahead.0).unit() * -1.0;
    let up = cross(ahead, right);
    let scale = VIEW / f64::from(height.max(1));
    let mut rgb = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let mut light = Vector(0.0, 0.0, 0.0);
            for sample in 0..SAMPLES * SAMPLES {
                let within = |n: u32| (f64::from(n) + 0.5) / f64::from(SAMPLES);
                let over = f64::from(x) + within(sample % SAMPLES) - f64::from(width) / 2.0;
                let under = f64::from(y) + within(sample / SAMPLES) - f64::from(height) / 2.0;
                let direction = ahead + right * (over * scale * 2.0) - up * (under * scale * 2.0);
                light = light + look(scene, EYE, direction.unit(), 0);
            }
            let light = light * (1.0 / f64::from(SAMPLES * SAMPLES));
            rgb.extend([light.0, light.1, light.2].map(shade));
        }
    }
    Picture { width, height, rgb }
}

/// The light that comes from a direction.
fn look(scene: &Scene, from: Vector, direction: Vector, bounces: u32) -> Vector {
    let Some(met) = meet(scene, from, direction) else {
        return Scene::sky(direction);
    };
    let sun = SUN.unit();
    let lit = met.normal.dot(sun).max(0.0);
    let lit = if lit > 0.0 && meet(scene, met.place, sun).is_some() { 0.0 } else { lit };
    let ambient = 0.30 + 0.14 * met.normal.1;
    let mut light =
        met.colour.tint(Vector(1.0, 0.95, 0.86) * (0.80 * lit) + Vector(0.78, 0.86, 1.0) * ambient);
    let thrown_back = direction.reflect(met.normal);
    if met.mirror > 0.0 && bounces < BOUNCES {
        // What is seen at a low angle is more of a mirror.
        let edge = 1.0 + direction.dot(met.normal);
        let edge = edge * edge * edge;
        let share = met.mirror + (1.0 - met.mirror) * edge * 0.6;
        let seen = look(scene, met.place, thrown_back, bounces + 1);
        light = light.mix(seen.tint(met.colour.mix(Vector(1.0, 1.0, 1.0), 0.5)), share);
    }
    if lit > 0.0 {
        let glance = thrown_back.dot(sun).max(0.0);
        let glance = (0..5).fold(glance, |power, _| power * power);
        light = light + Vector(1.0, 0.95, 0.85) * (glance * met.shine);
    }
    // Far away everything fades into the sky's edge.
    let haze = (met.distance / 38.0).min(1.0);
    light.mix(Scene::sky(Vector(direction.0, 0.0, direction.2)), haze * haze)
}

/// The nearest thing in a direction.
fn meet(scene: &Scene, from: Vector, direction: Vector) -> Option<Meeting> {
    let mut nearest: Option<Meeting> = None;
    let mut consider = |distance: f64, make: &dyn Fn(Vector) -> Meeting| {
        if distance > NEAR && nearest.as_ref().is_none_or(|met| distance < met.distance) {
            nearest = Some(make(from + direction * distance));
        }
    };
    for sphere in &scene.spheres {
        let way = from - sphere.centre;
        let along = way.dot(direction);
        let inside = along * along - way.dot(way) + sphere.radius * sphere.radius;
        if inside > 0.0 {
            let distance = -along - inside.sqrt();
            consider(distance, &|place| Meeting {
                distance,
                place,
                normal: (place - sphere.centre) * (1.0 / sphere.radius),
                colour: sphere.colour,
                mirror: sphere.mirror,
                shine: 0.85,
            });
        }
    }
    if direction.1 < 0.0 {
        let distance = -from.1 / direction.1;
        consider(distance, &|place| Meeting {
            distance,
            place,
            normal: Vector(0.0, 1.0, 0.0),
            colour: Scene::floor(place),
            mirror: 0.10,
            shine: 0.0,
        });
    }
    nearest
}

/// A pixel's brightness as screens want it.
fn shade(light: f64) -> u8 {
    // The square root is close to the curve of screens, and exact everywhere.
    let value = light.clamp(0.0, 1.0).sqrt() * 255.0 + 0.5;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 255.5")]
    let byte = value as u8;
    byte
}

fn cross(a: Vector, b: Vector) -> Vector {
    Vector(a.1 * b.2 - a.2 * b.1, a.2 * b.0 - a.0 * b.2, a.0 * b.1 - a.1 * b.0)
}
