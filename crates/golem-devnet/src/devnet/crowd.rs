//! Makes up a crowd of providers: names, machines and prices that differ as those of strangers do, all from a seed.

use rust_decimal::Decimal;
use yagna_api::Glm;

use crate::provider::{Hardware, Prices, ProviderConfig};

const FIRST: [&str; 16] = [
    "amber", "brave", "calm", "copper", "eager", "frosty", "gentle", "hazel", "ivory", "jolly", "lunar", "mellow",
    "nimble", "quiet", "rusty", "sunny",
];
const SECOND: [&str; 16] = [
    "badger", "beaver", "crane", "dormouse", "falcon", "gecko", "heron", "ibex", "jackdaw", "lynx", "marmot", "newt",
    "otter", "puffin", "raven", "stoat",
];

/// Makes up providers whose names differ from each other and from those `taken`.
pub(crate) fn crowd(count: usize, random: &mut fastrand::Rng, taken: &[String]) -> Vec<ProviderConfig> {
    let mut names: Vec<String> =
        FIRST.iter().flat_map(|first| SECOND.iter().map(move |second| format!("{first}-{second}"))).collect();
    random.shuffle(&mut names);
    let rounds = (2..).flat_map(|round| names.iter().map(move |name| format!("{name}-{round}")));
    let all = names.iter().cloned().chain(rounds);
    all.filter(|name| !taken.contains(name)).take(count).map(|name| stranger(name, random)).collect()
}

fn stranger(name: String, random: &mut fastrand::Rng) -> ProviderConfig {
    let threads = 1 << random.u32(1..=5);
    let hardware = Hardware {
        cores: threads / 2,
        threads,
        memory_gib: f64::from(threads * random.u32(1..=4)),
        storage_gib: f64::from(random.u32(2..=20) * 10),
    };
    let prices = Prices {
        start: if random.u32(0..4) == 0 { milli(random.i64(1..=3)) } else { Glm::ZERO },
        per_cpu_hour: milli(random.i64(30..=120)),
        per_env_hour: milli(random.i64(5..=40)),
    };
    ProviderConfig { hardware, prices, ..ProviderConfig::new(name) }
}

fn milli(thousandths: i64) -> Glm {
    Glm::from_decimal(Decimal::new(thousandths, 3)).expect("three places are fewer than eighteen")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_crowd_is_the_same_for_the_same_seed_and_nobody_shares_a_name() {
        let draw = |seed| crowd(600, &mut fastrand::Rng::with_seed(seed), &["amber-badger".into()]);
        let (one, again, other) = (draw(7), draw(7), draw(8));
        let names = |crowd: &[ProviderConfig]| crowd.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&one), names(&again));
        assert_ne!(names(&one), names(&other));
        let distinct: HashSet<_> = names(&one).into_iter().collect();
        assert_eq!(distinct.len(), 600);
        assert!(!distinct.contains("amber-badger"));
        assert!(one.iter().zip(&again).all(|(a, b)| a.prices == b.prices && a.hardware == b.hardware));
        assert!(one.iter().any(|config| config.prices != one[0].prices));
        assert!(one.iter().all(|config| config.hardware.memory_gib >= 1.0 && config.hardware.cores >= 1));
    }
}
