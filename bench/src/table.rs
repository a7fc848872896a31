//! The tables: the program next to the bare floor on real daemons, and many workers on the devnet.

use std::path::PathBuf;

use crate::Failure;
use crate::ground::{Ground, OUTPUT};
use crate::program::{Figures, Work, floor, golem_tasks};

/// Tasks in one script of the floor that packs.
const PACK: usize = 50;

/// The extent of a measurement.
#[derive(Debug)]
pub(crate) struct Options {
    /// The number of runs of each kind.
    pub(crate) rounds: usize,
    /// Only kinds of work are measured that have this in their names.
    pub(crate) only: String,
}

/// A way of working that is measured.
struct Case {
    name: &'static str,
    tasks: usize,
    workers: usize,
    steps: String,
    /// The floor beside it: the line of a task, and tasks in one script.
    floor: Option<(&'static str, usize)>,
}

fn tiny(pack: bool) -> String {
    let alone = if pack { "" } else { "[limits]\nno_result_on = 9\n" };
    format!("[[steps]]\nrun = \"true {{{{ task }}}}\"\n{alone}")
}

fn files() -> String {
    format!(
        "[[steps]]\nupload = {{ from = \"file\", to = \"/golem/input/file\" }}\n\
         [[steps]]\nrun = \"answer {{{{ task }}}}\"\n\
         [[steps]]\ndownload = {{ from = \"{OUTPUT}\", to = \"out/{{{{ task }}}}\" }}\n"
    )
}

/// The program next to the floor, on two real daemons.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
pub(crate) async fn daemon(program: PathBuf, options: &Options) -> Result<(), Failure> {
    let cases = [
        Case {
            name: "packed, 4 workers",
            tasks: 10_000,
            workers: 4,
            steps: tiny(true),
            floor: Some(("true", PACK)),
        },
        Case {
            name: "packed, 10 workers",
            tasks: 10_000,
            workers: 10,
            steps: tiny(true),
            floor: Some(("true", PACK)),
        },
        Case {
            name: "one a script, 4 workers",
            tasks: 400,
            workers: 4,
            steps: tiny(false),
            floor: Some(("true", 1)),
        },
        Case {
            name: "one a script, 10 workers",
            tasks: 400,
            workers: 10,
            steps: tiny(false),
            floor: Some(("true", 1)),
        },
        Case { name: "files of 1 kB, 4 workers", tasks: 2000, workers: 4, steps: files(), floor: None },
    ];
    let ground = Ground::daemons(program, 10).await?;
    println!("{}", heading());
    let told = rows(&ground, &cases, options).await;
    ground.stop().await;
    told
}

/// The program alone with so many workers each, on the devnet: empty tasks, and tasks of one second.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
pub(crate) async fn workers(counts: &[usize], options: &Options) -> Result<(), Failure> {
    println!("{}", heading());
    for &workers in counts {
        let ground = Ground::devnet(workers).await?;
        let sleeping = "[[steps]]\nrun = \"sleep 1; true {{ task }}\"\n".to_owned();
        let cases = [
            Case { name: "sleep 1", tasks: workers * 20, workers, steps: sleeping, floor: None },
            Case { name: "packed", tasks: 50_000, workers, steps: tiny(true), floor: Some(("true", PACK)) },
            Case { name: "one a script", tasks: 4000, workers, steps: tiny(false), floor: Some(("true", 1)) },
            Case { name: "files of 1 kB", tasks: 2000, workers, steps: files(), floor: None },
        ];
        let told = rows(&ground, &cases, options).await;
        ground.stop().await;
        told?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn rows(ground: &Ground, cases: &[Case], options: &Options) -> Result<(), Failure> {
    for case in cases.iter().filter(|case| case.name.contains(&options.only)) {
        let work = Work { steps: case.steps.clone(), tasks: case.tasks, workers: case.workers };
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            if let Some((line, per_script)) = case.floor {
                floors.push(floor(ground, line, case.tasks, case.workers, per_script).await?);
            }
            ours.push(golem_tasks(ground, &work).await?);
        }
        println!("{}", row(ground.name, case, &ours, &floors));
    }
    Ok(())
}

fn heading() -> String {
    let columns = "| ground | work | workers | tasks/s | of the floor | CPU ms a task (floor) | first result, s | exit, s | MiB |";
    format!("{columns}\n|{}", "---|".repeat(columns.matches('|').count() - 1))
}

fn row(ground: &str, case: &Case, ours: &[Figures], floors: &[Figures]) -> String {
    let rate = Spread::of(ours, Figures::rate);
    let floor = Spread::of(floors, Figures::rate);
    let share = if floors.is_empty() { "-".to_owned() } else { format!("{:.2}", rate.median / floor.median) };
    let floor_cpu = match floors {
        [] => String::new(),
        floors => format!(" ({:.2})", Spread::of(floors, Figures::cpu_a_task).median),
    };
    format!(
        "| {ground} | {} | {} | {:.0} ({:.0} to {:.0}) | {share} | {:.2}{floor_cpu} | {:.1} | {:.1} | {:.0} |",
        case.name,
        case.workers,
        rate.median,
        rate.least,
        rate.most,
        Spread::of(ours, Figures::cpu_a_task).median,
        Spread::of(ours, |run| run.first.as_secs_f64()).median,
        Spread::of(ours, |run| run.exit.as_secs_f64()).median,
        Spread::of(ours, Figures::mebibytes).median,
    )
}

/// A figure over several runs.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(runs: &[Figures], figure: impl Fn(&Figures) -> f64) -> Self {
        let mut all: Vec<f64> = runs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        let at = |place: usize| all.get(place).copied().unwrap_or(f64::NAN);
        Self { least: at(0), median: at(all.len() / 2), most: at(all.len().saturating_sub(1)) }
    }
}
