//! One program to run on a provider: arguments, environment, what to keep of its output.

use yagna_api::activity::{self as wire, CaptureFormat, CaptureMode};

use super::limits::{ProgramProblem, check_argument};

/// The program that gives another one its environment. Exe-scripts have no place for one.
const ENV: &str = "/usr/bin/env";
const SHELL: &str = "/bin/sh";

/// A program to run on a provider's machine.
///
/// # Example
/// ```
/// use golem_sdk::{Capture, Program};
///
/// let render = Program::new("/bin/render")
///     .arg("--frame")
///     .arg("7")
///     .env("THREADS", "4")
///     .stdout(Capture::tail(4096));
/// let line = Program::shell("sha256sum /golem/resource/* | sort");
/// # drop((render, line));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Program {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
    binary: bool,
}

/// The parts of a program's output that are kept.
///
/// Providers keep output in memory and set bounds to it; a program that writes more, into a capture that has no limit,
/// may fail there. Large results belong into files.
#[doc(alias = "CaptureContext")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture(Mode);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    None,
    All,
    Head(u64),
    Tail(u64),
    HeadTail(u64),
    Stream(Option<u64>),
}

impl Program {
    /// A program by its path; on most providers it must be absolute.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            stdout: None,
            stderr: None,
            binary: false,
        }
    }

    /// A line for `/bin/sh`.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new(SHELL).arg("-c").arg(line)
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the program's environment, above those that the payload sets.
    ///
    /// Exe-scripts know no environment, so the program is started by the payload's own `/usr/bin/env`; a payload
    /// without one fails the command. Values are never shown in errors and logs of ours, but the provider sees them.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Says what to keep of both outputs. [`Capture::all`] is kept where nothing is said.
    pub fn capture(self, capture: Capture) -> Self {
        Self { stdout: Some(capture), stderr: Some(capture), ..self }
    }

    /// Says what to keep of the standard output.
    pub fn stdout(self, capture: Capture) -> Self {
        Self { stdout: Some(capture), ..self }
    }

    /// Says what to keep of the standard error.
    pub fn stderr(self, capture: Capture) -> Self {
        Self { stderr: Some(capture), ..self }
    }

    /// Keeps outputs byte by byte. Without this they travel as text, and a provider turns what is no UTF-8 into other
    /// characters. Bytes take about four times their size on the way.
    pub fn binary_output(self) -> Self {
        Self { binary: true, ..self }
    }

    /// The command for an exe-unit. Where output is followed, it is asked for as bytes: providers cut pieces of text
    /// in the midst of characters, and what they then make of these can't be put together again.
    pub(crate) fn command(&self, follow: bool) -> Result<wire::Run, ProgramProblem> {
        self.check()?;
        let mode = |capture: Option<Capture>| {
            let capture = capture.unwrap_or(if follow { Capture::stream() } else { Capture::all() });
            capture.mode(if self.binary { CaptureFormat::Bin } else { CaptureFormat::Str }, follow)
        };
        let capture = wire::Capture { stdout: mode(self.stdout), stderr: mode(self.stderr) };
        let capture = (capture != wire::Capture::default()).then_some(capture);
        if self.env.is_empty() {
            return Ok(wire::Run { entry_point: self.program.clone(), args: self.args.clone(), capture });
        }
        let mut args: Vec<_> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        args.iter().try_for_each(|arg| check_argument(arg))?;
        if self.program.contains('=') {
            // `env` would take it for another variable.
            args.extend([SHELL, "-c", r#"exec "$0" "$@""#].map(str::to_owned));
        }
        args.push(self.program.clone());
        args.extend_from_slice(&self.args);
        Ok(wire::Run { entry_point: ENV.to_owned(), args, capture })
    }

    /// For people: a shell's line as it is, else the program and its arguments. No environment: it may hold secrets.
    pub(crate) fn words(&self) -> String {
        words(&self.program, &self.args)
    }

    /// True if its output is text.
    pub(crate) fn is_text(&self) -> bool {
        !self.binary
    }

    fn check(&self) -> Result<(), ProgramProblem> {
        for (name, value) in &self.env {
            if name.is_empty() || name.starts_with('-') || name.contains(['=', '\0']) {
                return Err(ProgramProblem::VariableName(name.clone()));
            }
            if value.contains('\0') {
                return Err(ProgramProblem::VariableValue(name.clone()));
            }
        }
        std::iter::once(&self.program).chain(&self.args).try_for_each(|arg| check_argument(arg))
    }
}

impl Capture {
    /// Nothing.
    pub const fn none() -> Self {
        Self(Mode::None)
    }

    /// All of it.
    pub const fn all() -> Self {
        Self(Mode::All)
    }

    /// The first so many bytes.
    pub const fn head(bytes: u64) -> Self {
        Self(Mode::Head(bytes))
    }

    /// The last so many bytes.
    pub const fn tail(bytes: u64) -> Self {
        Self(Mode::Tail(bytes))
    }

    /// The first and the last bytes, so many together.
    pub const fn head_tail(bytes: u64) -> Self {
        Self(Mode::HeadTail(bytes))
    }

    /// All of it, as it is written. Only [`commit_streamed`](crate::WorkContext::commit_streamed) shows the
    /// difference, where it is the default.
    pub const fn stream() -> Self {
        Self(Mode::Stream(None))
    }

    /// The first so many bytes, as they are written.
    pub const fn stream_up_to(bytes: u64) -> Self {
        Self(Mode::Stream(Some(bytes)))
    }

    fn mode(self, format: CaptureFormat, follow: bool) -> Option<CaptureMode> {
        let (head, tail, head_tail) = match self.0 {
            Mode::None => return None,
            Mode::Stream(limit) => {
                let format = if follow { CaptureFormat::Bin } else { format };
                return Some(CaptureMode::Stream { limit, format: Some(format) });
            }
            Mode::All => (None, None, None),
            Mode::Head(bytes) => (Some(bytes), None, None),
            Mode::Tail(bytes) => (None, Some(bytes), None),
            Mode::HeadTail(bytes) => (None, None, Some(bytes)),
        };
        Some(CaptureMode::AtEnd { head, tail, head_tail, format: Some(format) })
    }
}

/// A program with its arguments as one would type it.
pub(super) fn words(program: &str, args: &[String]) -> String {
    match (program, args) {
        (SHELL, [flag, line]) if flag == "-c" => line.clone(),
        _ => std::iter::once(program).chain(args.iter().map(String::as_str)).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::LONGEST_ARGUMENT;
    use super::*;

    #[test]
    fn a_program_becomes_a_command() {
        let run = Program::new("/bin/x").arg("a").args(["b", "c"]).command(false).unwrap();
        assert_eq!((run.entry_point.as_str(), run.args.join(" ").as_str()), ("/bin/x", "a b c"));
        assert_eq!(run.capture, Some(wire::Capture::text()));
        assert_eq!(Program::new("x").capture(Capture::none()).command(true).unwrap().capture, None);
    }

    #[test]
    fn an_environment_goes_through_env() {
        let run = Program::new("/bin/x").env("A", "1 = 2").env("B", "").arg("y").command(false).unwrap();
        assert_eq!(run.entry_point, "/usr/bin/env");
        assert_eq!(run.args, ["A=1 = 2", "B=", "/bin/x", "y"]);
        let odd = Program::new("/bin/a=b").env("A", "1").arg("y").command(false).unwrap();
        assert_eq!(odd.args, ["A=1", "/bin/sh", "-c", r#"exec "$0" "$@""#, "/bin/a=b", "y"]);
    }

    #[test]
    fn what_no_environment_can_hold_is_refused() {
        for name in ["", "-i", "A=B", "A\0"] {
            let problem = Program::new("x").env(name, "1").command(false).unwrap_err();
            assert_eq!(problem, ProgramProblem::VariableName(name.to_owned()));
        }
        let problem = Program::new("x").env("A", "\0").command(false).unwrap_err();
        assert_eq!(problem, ProgramProblem::VariableValue("A".into()));
        assert_eq!(Program::new("x").arg("\0").command(false).unwrap_err(), ProgramProblem::Zero);
    }

    #[test]
    fn arguments_and_variables_are_as_long_as_linux_allows() {
        let longest = "x".repeat(LONGEST_ARGUMENT);
        let longer = format!("{longest}x");
        let refused = Err(ProgramProblem::LongArgument(LONGEST_ARGUMENT + 1));
        assert!(Program::shell(&longest).command(false).is_ok());
        assert_eq!(Program::shell(&longer).command(false), refused);
        assert_eq!(Program::new("x").args([&longest, &longer]).command(false), refused);
        assert_eq!(Program::new(&longer).command(false), refused);
        assert!(Program::new("x").env("A", &longest[2..]).command(false).is_ok());
        assert_eq!(Program::new("x").env("A", &longest[1..]).command(false), refused);
    }

    #[test]
    fn secrets_of_the_environment_are_not_shown() {
        assert_eq!(Program::shell("echo $KEY").env("KEY", "secret").words(), "echo $KEY");
        assert_eq!(Program::new("/bin/x").arg("a b").words(), "/bin/x a b");
    }

    #[test]
    fn followed_output_comes_as_bytes_and_other_output_as_asked() {
        let modes = |program: Program, follow| {
            let capture = program.command(follow).unwrap().capture.unwrap();
            (capture.stdout.unwrap(), capture.stderr.unwrap())
        };
        let stream = |limit, format| CaptureMode::Stream { limit, format: Some(format) };
        let head =
            |format| CaptureMode::AtEnd { head: Some(5), tail: None, head_tail: None, format: Some(format) };
        let (bin, str) = (CaptureFormat::Bin, CaptureFormat::Str);
        let limited = Program::new("x").stdout(Capture::head(5)).stderr(Capture::stream_up_to(7));
        assert_eq!(modes(limited.clone(), true), (head(str), stream(Some(7), bin)));
        assert_eq!(modes(limited.clone(), false), (head(str), stream(Some(7), str)));
        assert_eq!(modes(limited.binary_output(), false), (head(bin), stream(Some(7), bin)));
        assert_eq!(modes(Program::new("x"), true), (stream(None, bin), stream(None, bin)));
    }
}
