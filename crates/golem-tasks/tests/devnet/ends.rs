//! How a devnet ends: with everything that it has started.

use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::served::{Served, command};
use crate::stage::{Home, PATIENCE, Running, processes, signal, wait_until};

/// A time to sleep that no other process of this machine sleeps.
fn mark(number: u32) -> String {
    format!("3000.{number}{:07}", std::process::id())
}

/// Lets a run on it work at something endless.
async fn busy(home: &Home, devnet: &mut Served, mark: &str) -> Running {
    assert!(processes(mark).is_empty(), "`{mark}` is no mark of this test alone");
    let job = home.job(&format!("[tasks]\nrange = {{ end = 60 }}\n[[steps]]\nrun = \"sleep {mark}\"\n"));
    let mut command = home.command(&job, ["--quiet"]);
    command.envs(devnet.environment().await);
    let run = Running::start(command);
    wait_until("a task runs", || !processes(mark).is_empty()).await;
    run
}

#[tokio::test]
async fn ctrl_c_or_sigterm_ends_it_and_every_process_in_it() {
    for (number, sent) in [(1, Signal::INT), (2, Signal::TERM)] {
        let (home, mark) = (Home::new(), mark(number));
        let mut devnet = Served::start(&["--providers", "2"]);
        let run = busy(&home, &mut devnet, &mark).await;
        let began = Instant::now();
        signal(devnet.id(), sent);
        let (code, _, err) = devnet.end().await;
        assert_eq!(code, Some(0), "{err}");
        assert!(began.elapsed() < Duration::from_secs(35), "it took {:?}", began.elapsed());
        assert_eq!(processes(&mark), Vec::<String>::new(), "all is over when it says so");
        run.kill();
        run.end().await;
    }
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_at_once() {
    let (home, mark) = (Home::new(), mark(3));
    let mut devnet = Served::start(&["--providers", "1"]);
    let run = busy(&home, &mut devnet, &mark).await;
    devnet.interrupt();
    let second = Instant::now();
    devnet.interrupt();
    let (code, _, err) = devnet.end().await;
    assert_eq!(code, Some(0), "{err}");
    assert!(second.elapsed() < Duration::from_secs(5), "it took {:?}", second.elapsed());
    wait_until("every process of it ends", || processes(&mark).is_empty()).await;
    run.kill();
    run.end().await;
}

#[tokio::test]
async fn a_reader_that_stalls_doesnt_hold_up_its_end() {
    let mut child = command(&["--listen", "127.0.0.1:0", "--providers", "1000", "--json"]).spawn().unwrap();
    // A thousand objects are more than a pipe holds; nobody reads them.
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take());
    let id = child.id().unwrap();
    wait_until("the pipe is full", || rustix::io::ioctl_fionread(&out).unwrap() > 50_000).await;
    signal(id, Signal::INT);
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0));
    drop((out, err));
}

/// Once out of open files it was there, and never took a connection again.
#[tokio::test]
async fn it_takes_connections_again_when_it_was_out_of_open_files() {
    const FILES: u32 = 64;
    let mut devnet = Served::start_with_files(FILES, &["--providers", "1"]);
    let environment = devnet.environment().await;
    let address = environment["YAGNA_API_URL"].trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut held = Vec::new();
    for _ in 0..2 * FILES {
        // Those that it doesn't take wait in the system's queue.
        held.push(timeout(PATIENCE, TcpStream::connect(&address)).await.unwrap().unwrap());
    }
    let folder = format!("/proc/{}/fd", devnet.id());
    let n_open = || std::fs::read_dir(&folder).unwrap().count();
    wait_until("it is out of open files", || n_open() >= FILES as usize).await;
    drop(held);
    let home = Home::new();
    let job = home.job("[tasks]\nrange = { end = 2 }\n[[steps]]\nrun = \"echo {{ task }}\"\n");
    let ended = devnet.run(&home, &job, &[]).await;
    ended.assert_code(0);
    devnet.stop().await;
}
