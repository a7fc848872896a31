//! The program that other SDKs start to move files: everything is in the library.

use golem_tasks::exit::Exit;
use golem_tasks::gftp;

fn main() -> Exit {
    gftp::main()
}
