//! The shell scripts by which an instance is kept on a machine, and the reading of what they print.
//!
//! An activity carries out one batch at a time. So the main process isn't a batch that runs for hours: a script starts it in the
//! background under a small supervisor, which records its exit code and bounds its log. Checks, logs and commands of
//! users are short batches beside it. The scripts need a POSIX shell with `cat`, `kill`, `mkdir`, `mv`, `rm`, `sleep`,
//! `tail` and `wc`, which busybox has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::quote::quoted;
use super::spec::{Ready, ServiceSpec};

/// The folder on the machine in which the supervisor keeps its files.
pub(super) const FOLDER: &str = "/tmp/golem-service";
/// The log is cut when it has more bytes than this.
const LONGEST_LOG: u64 = 8 * 1024 * 1024;
/// Bytes of the log's end that are kept then.
const KEPT_LOG: u64 = 1024 * 1024;
/// Bytes of the log's end that are told with the end of a process.
const LAST_WORDS: usize = 2000;
/// Before this line a script's output is for us, behind it is the log.
const LOG_MARK: &str = "--log--";

/// The state of a machine's main process, as a check found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) process: Process,
    /// The addresses on which its port listens; `None` if the check names no port.
    pub(super) port: Option<Listens>,
    /// The exit code of the command of the check; `None` if the check has no command.
    pub(super) check: Option<i32>,
    /// The end of the log, of a process that has ended.
    pub(super) log: String,
}

/// The main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Runs,
    /// It ended with this code.
    Exited(i32),
    /// Neither it nor its exit code is there.
    Gone,
}

/// The addresses at which a port listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listens {
    ForAll,
    /// At the machine's own loopback address only: nobody outside can reach it.
    Locally,
    Nowhere,
}

/// The script that starts the main process, unless just this one runs already. One of other words is stopped first.
pub(super) fn start(spec: &ServiceSpec, env: &BTreeMap<String, String>) -> String {
    let mut main = exports(spec, env);
    for line in &spec.init {
        // Each line stands for itself: one that fails ends the start.
        let _infallible = writeln!(main, "( {line}\n) || exit $?");
    }
    main.push_str(&spec.command);
    main.push('\n');
    let supervisor = format!(
        "D={FOLDER}\n\
         trap : TERM INT HUP\n\
         cd /golem/work 2>/dev/null || cd /\n\
         sh \"$D/main\" >>\"$D/log\" 2>&1 </dev/null &\n\
         main=$!\n\
         echo $main >\"$D/pid.new\"; mv \"$D/pid.new\" \"$D/pid\"\n\
         while kill -0 $main 2>/dev/null; do\n\
         sleep 2\n\
         size=$(wc -c <\"$D/log\") || continue\n\
         [ \"$size\" -gt {LONGEST_LOG} ] || continue\n\
         tail -c {KEPT_LOG} \"$D/log\" >\"$D/log.new\"; cat \"$D/log.new\" >\"$D/log\"; rm -f \"$D/log.new\"\n\
         gone=$(cat \"$D/gone\" 2>/dev/null || echo 0); echo $((gone + size - {KEPT_LOG})) >\"$D/gone\"\n\
         done >/dev/null 2>&1 &\n\
         wait $main; code=$?\n\
         while kill -0 $main 2>/dev/null; do wait $main; code=$?; done\n\
         echo $code >\"$D/exit.new\"; mv \"$D/exit.new\" \"$D/exit\"\n",
    );
    format!(
        "D={FOLDER}\n\
         mkdir -p \"$D\" || exit 1\n\
         printf %s {} >\"$D/main.new\" || exit 1\n\
         printf %s {} >\"$D/supervisor\" || exit 1\n\
         if [ ! -e \"$D/exit\" ] && [ -s \"$D/pid\" ] && kill -0 \"$(cat \"$D/pid\")\" 2>/dev/null; then\n\
         [ \"$(cat \"$D/main\")\" = \"$(cat \"$D/main.new\")\" ] && exit 0\n\
         {}\
         fi\n\
         mv \"$D/main.new\" \"$D/main\" && rm -f \"$D/exit\" \"$D/pid\" \"$D/group\" && : >>\"$D/log\" || exit 1\n\
         if command -v setsid >/dev/null 2>&1; then\n\
         setsid sh -c 'echo $$ >{FOLDER}/group; exec sh {FOLDER}/supervisor' </dev/null >/dev/null 2>&1 &\n\
         else\n\
         nohup sh \"$D/supervisor\" </dev/null >/dev/null 2>&1 &\n\
         fi\n\
         n=0; while [ ! -s \"$D/pid\" ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done\n\
         [ -s \"$D/pid\" ] || {{ echo 'the main process could not be started' >&2; exit 1; }}\n",
        quoted(&main),
        quoted(&supervisor),
        ended(spec.stop_timeout),
    )
}

/// The script that asks the main process to end, and kills it after its time.
pub(super) fn stop(within: Duration) -> String {
    format!(
        "D={FOLDER}\n\
         if [ ! -e \"$D/exit\" ] && [ -s \"$D/pid\" ]; then\n\
         {}\
         fi\n\
         exit 0\n",
        ended(within)
    )
}

/// The lines that end a main process that runs.
fn ended(within: Duration) -> String {
    let fifths = within.as_millis().div_ceil(200);
    format!(
        "p=$(cat \"$D/pid\"); g=$(cat \"$D/group\" 2>/dev/null)\n\
         tell() {{ if [ -n \"$g\" ]; then kill -s \"$1\" -- \"-$g\"; else kill -s \"$1\" \"$p\"; fi; }}\n\
         tell TERM 2>/dev/null\n\
         n=0; while [ ! -e \"$D/exit\" ] && kill -0 \"$p\" 2>/dev/null && [ $n -lt {fifths} ]; do sleep 0.2; n=$((n + 1)); done\n\
         [ -e \"$D/exit\" ] || tell KILL 2>/dev/null\n"
    )
}

/// The script that looks how the main process does, and whether it is ready. Nothing is ready that doesn't run.
pub(super) fn check(spec: &ServiceSpec, env: &BTreeMap<String, String>) -> String {
    let mut script = format!(
        "D={FOLDER}\n\
         if [ -e \"$D/exit\" ]; then echo \"exit $(cat \"$D/exit\")\"\n\
         elif [ -s \"$D/pid\" ] && kill -0 \"$(cat \"$D/pid\")\" 2>/dev/null; then echo runs\n\
         else echo gone; fi\n"
    );
    if let Some(port) = spec.ready.port() {
        // The addresses are in hexadecimal, as they lie in memory; 0A is the state of a port that listens.
        let _infallible = write!(
            script,
            "l=nowhere\n\
             for f in /proc/net/tcp /proc/net/tcp6; do\n\
             [ -r $f ] || continue\n\
             while read -r n a r s x; do\n\
             [ \"$s\" = 0A ] || continue\n\
             case \"$a\" in\n\
             ??????7F:{port:04X}|00000000000000000000000001000000:{port:04X}) [ $l = all ] || l=locally;;\n\
             *:{port:04X}) l=all;;\n\
             esac\n\
             done <$f\n\
             done\n\
             echo \"listens $l\"\n"
        );
    }
    let line = match &spec.ready {
        Ready::Running | Ready::Tcp(_) => None,
        Ready::Command(line) => Some(line.clone()),
        Ready::Http { port, path } => {
            let url = quoted(&format!("http://127.0.0.1:{port}{path}"));
            Some(format!(
                "if command -v curl >/dev/null 2>&1; then curl -fsS -m 5 -o /dev/null {url}\n\
                 elif command -v wget >/dev/null 2>&1; then wget -q -T 5 -O /dev/null {url}\n\
                 else echo 'the image has neither curl nor wget' >&2; exit 127; fi"
            ))
        }
    };
    if let Some(line) = line {
        let line = quoted(&format!("{}{line}\n", exports(spec, env)));
        let _infallible = write!(
            script,
            "t=; command -v timeout >/dev/null 2>&1 && t='timeout 10'\n\
             $t sh -c {line} >\"$D/check\" 2>&1 </dev/null; echo \"check $?\"\n"
        );
    }
    let _infallible = write!(
        script,
        "echo {LOG_MARK}\n\
         if [ -e \"$D/exit\" ]; then tail -c {LAST_WORDS} \"$D/log\"; \
         elif [ -s \"$D/check\" ]; then tail -c {LAST_WORDS} \"$D/check\"; fi\n\
         exit 0\n"
    );
    script
}

/// The script that prints the log from this byte on, or its last bytes, behind a line with the byte at which it begins.
pub(super) fn log(from: LogFrom, most: u64) -> String {
    let begin = match from {
        LogFrom::Byte(byte) => format!("from={byte}"),
        LogFrom::Last(bytes) => format!("from=$((gone + size - {bytes}))"),
    };
    format!(
        "D={FOLDER}\n\
         gone=$(cat \"$D/gone\" 2>/dev/null || echo 0)\n\
         size=$({{ wc -c <\"$D/log\"; }} 2>/dev/null || echo 0)\n\
         {begin}\n\
         [ \"$from\" -ge \"$gone\" ] || from=$gone\n\
         [ \"$from\" -le $((gone + size)) ] || from=$((gone + size))\n\
         echo \"$from\"\n\
         [ -e \"$D/log\" ] || exit 0\n\
         tail -c +$((from - gone + 1)) \"$D/log\" | head -c {most}\n\
         exit 0\n"
    )
}

/// The place in a log at which reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogFrom {
    /// At this byte, counted from the log's first one.
    Byte(u64),
    /// So many bytes before its end.
    Last(u64),
}

/// The script that runs a command of a user's with the service's environment.
pub(super) fn command(spec_env: &BTreeMap<String, String>, line: &str) -> String {
    format!("{}cd /golem/work 2>/dev/null || cd /\n{line}\n", export_lines(spec_env))
}

/// The script that puts names and addresses into the machine's own table of hosts, in the place of those that we put there.
pub(super) fn hosts(names: &BTreeMap<String, String>) -> String {
    const BEGIN: &str = "# services";
    let mut lines = String::new();
    for (name, address) in names {
        let _infallible = writeln!(lines, "{address} {name} {BEGIN}");
    }
    format!(
        "[ -w /etc/hosts ] || exit 0\n\
         old=$(while read -r line; do case \"$line\" in *'{BEGIN}') ;; *) echo \"$line\";; esac; done </etc/hosts)\n\
         {{ [ -z \"$old\" ] || echo \"$old\"; printf %s {}; }} >/tmp/golem-hosts && cat /tmp/golem-hosts >/etc/hosts\n\
         exit 0\n",
        quoted(&lines)
    )
}

impl Found {
    /// Reads the output of a [check](check).
    pub(super) fn read(output: &str) -> Option<Self> {
        let (facts, log) = output.split_once(LOG_MARK)?;
        let mut found = Self { process: Process::Gone, port: None, check: None, log: log.trim().to_owned() };
        let mut lines = facts.lines();
        found.process = match lines.next()?.split_once(' ') {
            Some(("exit", code)) => Process::Exited(code.trim().parse().ok()?),
            None if facts.starts_with("runs") => Process::Runs,
            _ => Process::Gone,
        };
        for line in lines {
            match line.split_once(' ') {
                Some(("listens", "all")) => found.port = Some(Listens::ForAll),
                Some(("listens", "locally")) => found.port = Some(Listens::Locally),
                Some(("listens", _)) => found.port = Some(Listens::Nowhere),
                Some(("check", code)) => found.check = code.trim().parse().ok(),
                _ => {}
            }
        }
        Some(found)
    }
}

fn exports(spec: &ServiceSpec, env: &BTreeMap<String, String>) -> String {
    let mut all = spec.env.clone();
    all.extend(env.iter().map(|(name, value)| (name.clone(), value.clone())));
    export_lines(&all)
}

fn export_lines(env: &BTreeMap<String, String>) -> String {
    env.iter().fold(String::new(), |mut lines, (name, value)| {
        let _infallible = writeln!(lines, "export {name}={}", quoted(value));
        lines
    })
}

#[cfg(test)]
mod tests;
