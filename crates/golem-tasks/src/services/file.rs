//! The file of services: read strictly, as a job file is, with every problem at its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use golem_sdk::network::Range;
use golem_sdk::service::{Ready, Restart, ServiceSpec};
use toml::de::DeTable;

use super::environment::{self, Variable};
use crate::job::document::{self, Diagnostics, Entry, Section};
use crate::job::payload::{self, Payload};
use crate::job::schema::{PAYLOAD, Vocabulary};
use crate::job::{JobError, Limits, limits};
use crate::store::random_run_id;

/// Sections and keys outside of any.
const TOP: &[&str] = &["name", "network", "service", "limits"];
/// Keys of `[network]`.
const NETWORK: &[&str] = &["range"];
/// Keys of `[service.NAME]` beside those of a payload.
const SERVICE: &[&str] = &[
    "command",
    "env",
    "files",
    "init",
    "needs",
    "instances",
    "ready",
    "start_timeout",
    "check_every",
    "restart",
    "stop_timeout",
    "http",
    "forward",
];
/// Keys of `[limits]` that say something of services.
const LIMITS: &[&str] =
    &["budget", "on_budget", "max_price_per_hour", "max_start_price", "expiration", "idle_timeout"];
const HTTP: &[&str] = &["local", "port"];
const READY: &[&str] = &["tcp", "http", "command"];

/// The words of a file of services.
static VOCABULARY: Vocabulary = Vocabulary {
    file: "a file of services",
    top: TOP,
    homes: &[
        ("[service.NAME]", SERVICE),
        ("[service.NAME]", PAYLOAD),
        ("[limits]", LIMITS),
        ("[network]", NETWORK),
    ],
    other_words: &[
        ("services", "service"),
        ("image", "image_tag"),
        ("cmd", "command"),
        ("run", "command"),
        ("entrypoint", "command"),
        ("environment", "env"),
        ("depends_on", "needs"),
        ("ports", "forward"),
        ("healthcheck", "ready"),
        ("replicas", "instances"),
        ("scale", "instances"),
        ("upload", "files"),
        ("ip", "range"),
        ("subnet", "range"),
        ("cidr", "range"),
    ],
};

/// Agreements of services last so long unless the file says otherwise; they are renewed.
const EXPIRATION: Duration = Duration::from_secs(3 * 3600);

/// So long services wait for a machine where none is to be had.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The services of a file.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    /// The name by which they are brought up and down.
    pub(crate) name: String,
    /// Their network, where they have one.
    pub(crate) network: Option<NetworkWanted>,
    /// The services, each behind those that it needs.
    pub(crate) services: Vec<ServiceEntry>,
    /// The limits of all services together.
    pub(crate) limits: Limits,
}

/// A network for services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NetworkWanted {
    /// The range of its addresses; chosen where it isn't named.
    pub(crate) range: Option<Range>,
}

/// A service of a file.
#[derive(Debug, Clone)]
pub(crate) struct ServiceEntry {
    pub(crate) spec: ServiceSpec,
    pub(crate) payload: Payload,
    /// The services that must be ready first.
    pub(crate) needs: Vec<String>,
    /// Variables whose values name other services.
    pub(crate) variables: Vec<Variable>,
    /// Its reverse proxy on this machine.
    pub(crate) http: Option<Http>,
    /// Ports of this machine that lead to ports of its instances.
    pub(crate) forward: Vec<Forward>,
}

/// A reverse proxy on this machine: requests to a local port go to this port of the instances that are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) local: u16,
    pub(crate) port: u16,
}

/// A port of this machine that leads to one of the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) local: u16,
    pub(crate) port: u16,
}

/// Reads the file at this path.
///
/// # Errors
/// [`JobError`], as for job files: all problems with their places.
pub(crate) fn load(path: &Path) -> Result<Stack, JobError> {
    let bytes = std::fs::read(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = String::from_utf8_lossy(valid).matches('\n').count() + 1;
        JobError::NotUtf8 { path: path.to_owned(), line }
    })?;
    parse(&text, path)
}

/// Reads the text of a file that is, or would be, at `origin`.
pub(crate) fn parse(text: &str, origin: &Path) -> Result<Stack, JobError> {
    let folder = origin.parent().unwrap_or_else(|| Path::new(""));
    document::read(text, origin, &VOCABULARY, |document, diagnostics| {
        read(document, origin, folder, diagnostics)
    })
    .map_err(JobError::Invalid)
}

fn read<'a>(
    document: &'a DeTable<'a>,
    origin: &Path,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Stack> {
    let top = Section::document(document, diagnostics);
    let name = match top.get("name") {
        Some(entry) => stack_name(&entry, diagnostics),
        None => Some(name_of_file(origin)),
    };
    let network = network(&top, diagnostics);
    let has_network = top.get("network").is_some();
    let defaults = Limits::default().expiration(EXPIRATION).idle_timeout(PATIENCE);
    let limits = limits::read_known(&top, LIMITS, defaults, diagnostics).map(|(limits, _)| limits);
    let services = read_services(&top, folder, has_network, diagnostics);
    Some(Stack { name: name?, network, services: services?, limits: limits? })
}

/// The network; what is wrong with it has been reported.
fn network(top: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<NetworkWanted> {
    let section = top.section("network", NETWORK, diagnostics)?;
    let range = section.get("range").and_then(|entry| {
        let parsed = entry.text(diagnostics)?.parse::<Range>();
        parsed.map_err(|error| diagnostics.report(entry.span(), error.to_string())).ok()
    });
    Some(NetworkWanted { range })
}

fn read_services(
    top: &Section<'_>,
    folder: &Path,
    has_network: bool,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<ServiceEntry>> {
    let example = "[service.web]\nimage_tag = \"golem/alpine:latest\"\ncommand = \"exec httpd -f -p 80\"";
    let fields = top.get("service").and_then(|entry| {
        let fields = entry.fields();
        if fields.is_none() {
            diagnostics.report_with_help(
                entry.span(),
                "`service` must be a section",
                format!("for example\n\n{example}"),
            );
        }
        fields
    });
    let Some(fields) = fields.filter(|fields| !fields.is_empty()) else {
        if top.lacks("service") {
            diagnostics
                .missing("the file has no services", format!("describe one, for example\n\n{example}"));
        }
        return None;
    };
    let names: BTreeSet<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let mut read = Vec::new();
    let mut needs_at = BTreeMap::new();
    for (name, entry) in &fields {
        let service = read_service(name, entry, folder, &names, has_network, diagnostics);
        if let Some((service, span)) = service {
            needs_at.insert(name.clone(), span);
            read.push(service);
        }
    }
    if read.len() < fields.len() {
        return None;
    }
    ordered(read, &needs_at, diagnostics)
}

type Span = std::ops::Range<usize>;

fn read_service(
    name: &str,
    entry: &Entry<'_>,
    folder: &Path,
    names: &BTreeSet<&str>,
    has_network: bool,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<(ServiceEntry, Span)> {
    let known: Vec<&str> = PAYLOAD.iter().chain(SERVICE).copied().collect();
    let section = entry.table(&known, "image_tag = \"golem/alpine:latest\"", diagnostics)?;
    let payload = payload::read_section(&section, folder, diagnostics);
    let command = command(&section, diagnostics);
    let (env, variables) = variables(&section, names, diagnostics)?;
    let files = files(&section, folder, diagnostics);
    let init = texts(&section, "init", "a list of lines such as [\"mkdir -p /data\"]", diagnostics);
    let needs = texts(&section, "needs", "a list of services such as [\"db\"]", diagnostics);
    let instances =
        section.value_or("instances", 1, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let ready = section.value_or("ready", Ready::default(), diagnostics, ready);
    let defaults = ServiceSpec::shell(name, "true");
    let start_timeout =
        section.value_or("start_timeout", defaults.start_timeout, diagnostics, Entry::duration);
    let check_every = section.value_or("check_every", defaults.check_every, diagnostics, Entry::duration);
    let stop_timeout = section.value_or("stop_timeout", defaults.stop_timeout, diagnostics, Entry::duration);
    let restart = section.value_or("restart", Restart::default(), diagnostics, |entry, diagnostics| {
        let parsed = entry.text(diagnostics)?.parse();
        parsed
            .map_err(|error: golem_sdk::service::RestartError| {
                diagnostics.report(entry.span(), error.to_string());
            })
            .ok()
    });
    let http =
        section.value_or("http", None, diagnostics, |entry, diagnostics| http(entry, diagnostics).map(Some));
    let forward = forwards(&section, diagnostics);
    for key in ["http", "forward"] {
        if let Some(entry) = section.get(key).filter(|_| !has_network) {
            diagnostics.report_with_help(
                entry.key_span,
                format!("`{key}` needs a network: without one nothing on the machine can be reached"),
                "add a line [network] to the file",
            );
        }
    }
    let needs = needs?;
    let span = section.get("needs").map_or_else(|| section.span.clone(), |entry| entry.span());
    for other in &needs {
        if !names.contains(other.as_str()) {
            let known: Vec<_> = names.iter().copied().collect();
            diagnostics.report_with_help(
                span.clone(),
                format!("`{name}` needs `{other}`, which is not a service of this file"),
                format!("the services are {}", known.join(", ")),
            );
        }
    }
    let mut payload = payload?;
    if has_network && !payload.machine.capabilities.iter().any(|capability| capability == "vpn") {
        payload.machine.capabilities.push("vpn".to_owned());
    }
    let mut spec = ServiceSpec::shell(name, command?)
        .instances(instances?)
        .ready(ready?)
        .start_timeout(start_timeout?)
        .check_every(check_every?)
        .stop_timeout(stop_timeout?)
        .restart(restart?);
    spec.env = env;
    spec.volumes.clone_from(&payload.volumes);
    spec.uploads = files?;
    spec.init = init?;
    if let Err(error) = spec.check() {
        diagnostics.report(section.span.clone(), error.to_string());
        return None;
    }
    let service = ServiceEntry { spec, payload, needs, variables, http: http?, forward: forward? };
    Some((service, span))
}

/// A shell line, or a program with its arguments.
fn command(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let Some(entry) = section.get("command") else {
        if section.lacks("command") {
            diagnostics.report_with_help(
                section.span.clone(),
                format!("{} has no `command`", section.name),
                "name its main process, for example command = \"exec httpd -f -p 80\"",
            );
        }
        return None;
    };
    if entry.items().is_some() {
        let words = texts(section, "command", "a list of words", diagnostics)?;
        return Some(ServiceSpec::program("x", words).command);
    }
    entry.text(diagnostics).map(str::to_owned)
}

/// The variables that are known now, and those that depend on other services.
fn variables(
    section: &Section<'_>,
    names: &BTreeSet<&str>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<(BTreeMap<String, String>, Vec<Variable>)> {
    let (mut plain, mut later) = (BTreeMap::new(), Vec::new());
    let Some(entry) = section.get("env") else { return Some((plain, later)) };
    let Some(fields) = entry.fields() else {
        entry.expected("a table such as { LANG = \"C.UTF-8\" }", diagnostics);
        return None;
    };
    for (name, value) in fields {
        let text = match value.json(diagnostics)? {
            serde_json::Value::String(text) => text,
            other if other.is_number() || other.is_boolean() => other.to_string(),
            _ => {
                value.expected("a string or a number", diagnostics);
                continue;
            }
        };
        if !text.contains("{{") {
            plain.insert(name, text);
            continue;
        }
        match environment::compile(&name, &text, names) {
            Ok(variable) => later.push(variable),
            Err(problem) => diagnostics.report_with_help(
                value.span(),
                problem,
                "for example \"{{ service.db.host }}:5432\"; `host` is a name, `ip` an address, `ips` all of them",
            ),
        }
    }
    Some((plain, later))
}

/// Files to send: by their places on the machine.
fn files(
    section: &Section<'_>,
    folder: &Path,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<(PathBuf, String)>> {
    let Some(entry) = section.get("files") else { return Some(Vec::new()) };
    let Some(fields) = entry.fields() else {
        entry.expected("a table such as { \"/golem/work/site.conf\" = \"site.conf\" }", diagnostics);
        return None;
    };
    let mut files = Vec::new();
    for (to, from) in fields {
        let path = folder.join(from.text(diagnostics)?);
        if !path.is_file() {
            diagnostics.report_with_help(
                from.span(),
                format!("`{}` is not a file that can be read", path.display()),
                "paths are relative to the folder of this file",
            );
            return None;
        }
        files.push((path, to));
    }
    Some(files)
}

fn texts(
    section: &Section<'_>,
    key: &str,
    what: &str,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<String>> {
    section.value_or(key, Vec::new(), diagnostics, |entry, diagnostics| {
        let items = entry.list(what, diagnostics)?;
        items.iter().map(|item| item.text(diagnostics).map(str::to_owned)).collect()
    })
}

fn ready(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Ready> {
    let example = "{ tcp = 80 }, { http = \":80/health\" } or { command = \"pg_isready\" }";
    let section = entry.table(READY, example, diagnostics)?;
    let entries = section.entries(READY);
    let [one] = entries.as_slice() else {
        diagnostics.report_with_help(
            entry.span(),
            "`ready` must name one sign that an instance is ready",
            format!("write one of {example}"),
        );
        return None;
    };
    match section.get("tcp").is_some() {
        true => port(one, diagnostics).map(Ready::Tcp),
        false if section.get("command").is_some() => {
            one.text(diagnostics).map(|line| Ready::Command(line.to_owned()))
        }
        false => {
            let text = one.text(diagnostics)?;
            let (port, path) = match text.strip_prefix(':').and_then(|text| text.split_once('/')) {
                Some((port, path)) => (port, format!("/{path}")),
                None => (text.strip_prefix(':').unwrap_or_default(), "/".to_owned()),
            };
            match port.parse::<u16>() {
                Ok(port) if port > 0 => Some(Ready::Http { port, path }),
                _ => {
                    diagnostics.report_with_help(
                        one.span(),
                        format!("`{text}` is not a valid address of a check"),
                        "write a port and a path, for example \":80/health\"",
                    );
                    None
                }
            }
        }
    }
}

fn http(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Http> {
    let example = "{ local = 8080, port = 80 }";
    let section = entry.table(HTTP, example, diagnostics)?;
    let mut read = |key: &str| {
        if let Some(entry) = section.get(key) {
            return port(&entry, diagnostics);
        }
        let message = format!("`http` has no `{key}`");
        diagnostics.report_with_help(entry.span(), message, format!("for example {example}"));
        None
    };
    let (local, port) = (read("local"), read("port"));
    Some(Http { local: local?, port: port? })
}

/// Ports as `8080:80`, or `80` for the same port here and there.
fn forwards(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<Forward>> {
    section.value_or("forward", Vec::new(), diagnostics, |entry, diagnostics| {
        let items = entry.list("a list of ports such as [\"5432:5432\"]", diagnostics)?;
        items
            .iter()
            .map(|item| {
                let text = item.text(diagnostics)?;
                let read = Forward::read(text);
                if read.is_none() {
                    item.expected("a port such as \"8080:80\" (here:there) or \"80\"", diagnostics);
                }
                read
            })
            .collect()
    })
}

impl Forward {
    /// Reads `8080:80`, or `80` for the same port here and there.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        Some(Self { local: port(local)?, port: port(remote)? })
    }
}

fn port(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<u16> {
    let number = entry.integer(diagnostics)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    if port.is_none() {
        entry.expected("a port from 1 to 65535", diagnostics);
    }
    port
}

/// The services, each behind those that it needs.
fn ordered(
    services: Vec<ServiceEntry>,
    needs_at: &BTreeMap<String, Span>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<ServiceEntry>> {
    let (mut left, mut ordered) = (services, Vec::<ServiceEntry>::new());
    while !left.is_empty() {
        let is_up = |name: &String| ordered.iter().any(|service| service.spec.name == *name);
        let next = left.iter().position(|service| service.needs.iter().all(is_up));
        let Some(next) = next else {
            let names: Vec<_> = left.iter().map(|service| service.spec.name.as_str()).collect();
            let span = needs_at.get(names[0]).cloned().unwrap_or_default();
            let message = match names.as_slice() {
                [one] => format!("`{one}` needs itself"),
                several => {
                    format!("{} need one another, so none of them can be the first", several.join(", "))
                }
            };
            diagnostics.report_with_help(span, message, "leave out one of their `needs`");
            return None;
        };
        ordered.push(left.remove(next));
    }
    Some(ordered)
}

fn stack_name(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<String> {
    let text = entry.text(diagnostics)?;
    if is_stack_name(text) {
        return Some(text.to_owned());
    }
    diagnostics.report(
        entry.span(),
        format!("`{text}` is not a valid name: at most 30 letters, digits, `-` and `_`"),
    );
    None
}

/// True if services can be known by this name.
pub(crate) fn is_stack_name(text: &str) -> bool {
    let is_fit = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    (1..=30).contains(&text.len()) && text.chars().all(is_fit)
}

/// The name of the file without its ending, where that is a name.
fn name_of_file(origin: &Path) -> String {
    let stem = origin.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if is_stack_name(&stem) {
        return stem;
    }
    let fit: String = stem.chars().filter(|letter| is_stack_name(&letter.to_string())).take(30).collect();
    if fit.is_empty() { random_run_id(&mut fastrand::Rng::with_seed(0)) } else { fit }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(text: &str) -> Result<Stack, String> {
        parse(text, Path::new("folder/web.toml")).map_err(|error| error.to_string())
    }

    const WEB: &str = r#"
[network]
[service.web]
image_tag = "golem/alpine:latest"
needs = ["db"]
instances = 2
env = { DB = "{{ service.db.host }}:4001", N = 3 }
command = ["httpd", "-f", "-p", "80 80"]
http = { local = 8080, port = 80 }
restart = "always"
ready = { http = ":80/health" }
[service.db]
image_tag = "golem/alpine:latest"
command = "rqlited -http-addr 0.0.0.0:4001"
ready = { tcp = 4001 }
forward = ["5000:4001", "4002"]
start_timeout = "1m"
"#;

    #[test]
    fn services_stand_behind_those_that_they_need() {
        let stack = stack(WEB).unwrap();
        assert_eq!((stack.name.as_str(), stack.network), ("web", Some(NetworkWanted { range: None })));
        let [db, web] = stack.services.as_slice() else { panic!("{stack:#?}") };
        assert_eq!((db.spec.name.as_str(), web.spec.name.as_str()), ("db", "web"));
        assert_eq!(db.spec.ready, Ready::Tcp(4001));
        assert_eq!(db.forward, [Forward { local: 5000, port: 4001 }, Forward { local: 4002, port: 4002 }]);
        assert_eq!(db.spec.start_timeout, Duration::from_secs(60));
        assert_eq!(web.spec.command, "exec httpd -f -p '80 80'");
        assert_eq!((web.spec.instances, web.http), (2, Some(Http { local: 8080, port: 80 })));
        assert_eq!(web.spec.ready, Ready::Http { port: 80, path: "/health".to_owned() });
        assert_eq!(web.spec.env["N"], "3");
        assert_eq!(web.variables.len(), 1);
        assert!(web.payload.machine.capabilities.contains(&"vpn".to_owned()));
    }

    #[test]
    fn every_problem_has_its_place_and_a_remedy() {
        let service = |keys: &str| {
            format!(
                "[network]\n[service.web]\nimage_tag = \"golem/alpine:latest\"\ncommand = \"true\"\n{keys}"
            )
        };
        for (text, said) in [
            (String::new(), "the file has no services"),
            ("service = 3".to_owned(), "must be a section"),
            ("[service.web]\nimage_tag = \"golem/alpine:latest\"".to_owned(), "has no `command`"),
            ("[service.web]\ncommand = \"true\"".to_owned(), "image"),
            (service("needs = [\"db\"]"), "`web` needs `db`, which is not a service of this file"),
            (service("needs = [\"web\"]"), "`web` needs itself"),
            (service("instances = 0"), "must be a whole number from 1 up"),
            (service("ready = {}"), "must name one sign"),
            (service("ready = { tcp = 0 }"), "a port from 1 to 65535"),
            (service("ready = { http = \"health\" }"), "is not a valid address of a check"),
            (service("restart = \"never\""), "is not a valid restart policy"),
            (service("env = { A = \"{{ service.db.ip }}\" }"), "`db` is not a service of this file"),
            (service("env = { A = \"{{ service.web.port }}\" }"), "can't be used"),
            (service("env = { \"1A\" = \"x\" }"), "is not a valid name of a variable"),
            (service("http = { local = 8080 }"), "`http` has no `port`"),
            (service("forward = [\"80:x\"]"), "a port such as"),
            (service("depends_on = [\"db\"]"), "did you mean `needs`?"),
            (service("files = { \"/x\" = \"nowhere\" }"), "is not a file that can be read"),
            (service("[limits]\nretries = 3"), "unknown key `retries`"),
            (
                "[network]\nrange = \"10.0.0.0/8\"\n".to_owned() + &service("").replace("[network]\n", ""),
                "is not a valid range",
            ),
            (
                service("").replace("[network]\n", "") + "http = { local = 1, port = 1 }",
                "`http` needs a network",
            ),
            (service("").replace("service.web", "service.Web"), "is not a valid name of a service"),
            ("name = \"a b\"\n".to_owned() + &service(""), "is not a valid name"),
        ] {
            let error = stack(&text).unwrap_err();
            assert!(error.contains(said), "{text}\n{error}");
        }
    }

    #[test]
    fn services_that_need_one_another_are_refused() {
        let both = "[service.a]\nimage_tag = \"golem/alpine:latest\"\ncommand = \"true\"\nneeds = [\"b\"]\n\
                    [service.b]\nimage_tag = \"golem/alpine:latest\"\ncommand = \"true\"\nneeds = [\"a\"]";
        let error = stack(both).unwrap_err();
        assert!(error.contains("a, b need one another"), "{error}");
    }
}
