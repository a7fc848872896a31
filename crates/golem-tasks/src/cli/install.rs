//! The `install` command: a database is made ready for runs, and what was done is said.

use super::args::InstallFlags;
use crate::exit::{Exit, Failure};
use crate::store::{Dsn, Installed, Store};
use crate::view::Output;

/// Makes the tables or brings them up to date.
pub(super) async fn install(
    flags: &InstallFlags,
    environment: &dyn Fn(&str) -> Option<String>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let dsn = Dsn::choose(flags.dsn.as_deref(), environment, false)?;
    let installed = Store::install(&dsn).await?;
    output.write(&told(&installed));
    match output.lost() {
        Some(error) => Err(Failure::lost_output(error)),
        None => Ok(Exit::Done),
    }
}

fn told(installed: &Installed) -> String {
    let Installed { place, before, now } = installed;
    match before {
        None => format!("the tables for runs have been made in {place} (version {now})\n"),
        Some(before) if before == now => {
            format!("the tables for runs in {place} are up to date (version {now})\n")
        }
        Some(before) => {
            format!("the tables for runs in {place} have been brought from version {before} to {now}\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said() {
        let told = |before| told(&Installed { place: "runs.db".to_owned(), before, now: 2 });
        assert_eq!(told(None), "the tables for runs have been made in runs.db (version 2)\n");
        assert_eq!(told(Some(1)), "the tables for runs in runs.db have been brought from version 1 to 2\n");
        assert_eq!(told(Some(2)), "the tables for runs in runs.db are up to date (version 2)\n");
    }
}
