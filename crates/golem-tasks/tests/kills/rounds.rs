//! Rounds side by side on one network, until there were enough kills.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use fastrand::Rng;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::ground::{self, Ground};
use crate::network::Network;
use crate::round::{Plan, Round};

/// How many kills there are on all databases together, unless `GOLEM_KILLS` says so.
const KILLS: u32 = 40;
/// Runs that go on at the same time.
const SIDE_BY_SIDE: usize = 4;
/// Among so many kills there is always a process that wants a run which is held.
const ENOUGH: u32 = 20;
/// Without kills there are so many runs.
const QUIET_ROUNDS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_4_killed_at_random_nothing_is_lost_or_paid_twice_on_sqlite() {
    play("sqlite", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_4_killed_at_random_nothing_is_lost_or_paid_twice_on_postgres() {
    if let Some(server) = ground::server() {
        return play("postgres", Some(&server)).await;
    }
    let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
    let all = std::env::var_os("GOLEM_GROUNDS").is_some_and(|wanted| wanted == "all");
    assert!(!set("CI") && !all, "GOLEM_TASKS_TEST_PG names no server: use scripts/postgres");
    eprintln!("NOTE: nothing was killed on PostgreSQL: use scripts/postgres");
}

/// A number from the environment.
fn given<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().ok().unwrap_or_else(|| panic!("{name} is a number, not `{text}`")))
}

/// What is shared by all rounds of a test.
struct Game {
    server: Option<String>,
    seed: u64,
    /// How many kills there are to be.
    wanted: u32,
    kills: AtomicU32,
    refusals: AtomicU32,
    rounds: AtomicUsize,
    most_rounds: usize,
}

async fn play(name: &str, server: Option<&str>) {
    let seed = given("GOLEM_SEED").unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let kills: u32 = given("GOLEM_KILLS").unwrap_or(KILLS);
    let game = Game {
        server: server.map(str::to_owned),
        seed,
        wanted: if ground::server().is_some() { kills.div_ceil(2) } else { kills },
        kills: AtomicU32::new(0),
        refusals: AtomicU32::new(0),
        rounds: AtomicUsize::new(0),
        // Some of them end before their killer comes.
        most_rounds: if kills == 0 { QUIET_ROUNDS } else { kills as usize + SIDE_BY_SIDE },
    };
    let folder = TempDir::with_prefix(format!("golem-kills-{name}-")).unwrap();
    let began = Instant::now();
    let network = Network::start(folder.path(), game.most_rounds, seed).await;
    let lanes = (0..SIDE_BY_SIDE).map(|_| game.lane(&network, folder.path()));
    let mut wrong = join_all(lanes).await.concat();
    let books = network.stop().await;
    let alive = books.activities.iter().filter(|activity| activity.alive).count();
    if alive > 0 {
        wrong.push(format!("{alive} activities were alive when all was over, at {}", books.at));
    }
    let (kills, rounds) = (game.kills.into_inner(), game.rounds.into_inner().min(game.most_rounds));
    eprintln!("{name}: {kills} kills in {rounds} runs took {:.0?} (GOLEM_SEED={seed})", began.elapsed());
    let refusals = game.refusals.into_inner();
    eprintln!("{name}: {refusals} other processes were refused a run that was held");
    if game.wanted >= ENOUGH && refusals == 0 {
        wrong.push("nobody wanted a run that was held".to_owned());
    }
    if kills < game.wanted {
        wrong.push(format!("there were {kills} kills only, not {}", game.wanted));
    }
    if !wrong.is_empty() {
        let kept = folder.keep();
        let wrong = wrong.join("\n");
        std::fs::write(kept.join("wrong.txt"), &wrong).unwrap();
        panic!(
            "again with GOLEM_SEED={seed} GOLEM_KILLS={}; all of it is kept in {}\n{wrong}",
            given::<u32>("GOLEM_KILLS").unwrap_or(KILLS),
            kept.display()
        );
    }
}

impl Game {
    /// One round after the other; what was wrong in them.
    async fn lane(&self, network: &Network, folder: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        loop {
            let number = self.rounds.fetch_add(1, Ordering::Relaxed);
            let enough = self.wanted > 0 && self.kills.load(Ordering::Relaxed) >= self.wanted;
            if number >= self.most_rounds || enough {
                return wrong;
            }
            let folder = folder.join(format!("round-{number:03}"));
            std::fs::create_dir(&folder).unwrap();
            // A panic of one round must not take the traces of the others with it.
            let found = AssertUnwindSafe(self.round(network, number, &folder)).catch_unwind().await;
            let found = found.unwrap_or_else(|_| vec!["the test itself panicked".to_owned()]);
            wrong.extend(found.into_iter().map(|what| format!("round {number}: {what}")));
        }
    }

    async fn round(&self, network: &Network, number: usize, folder: &Path) -> Vec<String> {
        let seed = self.seed.wrapping_mul(1000).wrapping_add(number as u64);
        let mut random = Rng::with_seed(!seed);
        let plan = match (self.wanted, number % 3) {
            (0, 0) => Plan::LetBe,
            (0, _) => Plan::Interrupt,
            _ => Plan::Kills(random.u32(2..9)),
        };
        let ground = Ground::new(folder, self.server.as_deref()).await;
        let mut round = Round::new(network, number, ground.clone(), folder, seed);
        let wrong = round.play(plan).await;
        self.kills.fetch_add(round.kills, Ordering::Relaxed);
        self.refusals.fetch_add(round.refusals, Ordering::Relaxed);
        if !wrong.is_empty() {
            ground.dump(folder).await;
        }
        ground.end().await;
        wrong
    }
}
