//! The settings of this crate's property tests.

use proptest::prelude::ProptestConfig;

/// The settings of a property that tries `n` cases, or as many as `PROPTEST_CASES` says.
///
/// `PROPTEST_RNG_SEED` decides which cases are drawn; without it each run draws others.
pub(crate) fn cases(n: u32) -> ProptestConfig {
    let settings = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return settings;
    }
    ProptestConfig { cases: n, ..settings }
}
