//! The binary: everything is in the library.

use golem_tasks::cli;
use golem_tasks::exit::Exit;
use golem_tasks::run::run;

fn main() -> Exit {
    cli::main(run)
}
