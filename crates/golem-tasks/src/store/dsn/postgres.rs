//! Addresses of PostgreSQL servers: URLs and `key=value` pairs, as PostgreSQL's own programs take them.
//!
//! What an address leaves out comes from `PGHOST`, `PGHOSTADDR`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`,
//! `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`, `PGAPPNAME`, `PGOPTIONS`, `PGCONNECT_TIMEOUT`, and the
//! password from `PGPASSFILE` or `~/.pgpass`. Service files are not read, and one server is named, not several.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::DsnError;

/// The keys that are understood.
const KEYS: [&str; 12] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
];
const USER: &str = "user";
/// The keys that make no difference here, and may be there.
const HARMLESS: [&str; 13] = [
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// The keys that would change the meaning of an address, and must not be dropped.
const UNSUPPORTED: [&str; 10] = [
    "channel_binding",
    "passfile",
    "replication",
    "requirepeer",
    "require_auth",
    "service",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "ssl_min_protocol_version",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const SSL_MODE_WORDS: &str = "disable, allow, prefer, require, verify-ca or verify-full";
const PORT_WORDS: &str = "a number from 1 to 65535";
const SECONDS_WORDS: &str = "a number of seconds";
/// The time to wait for a server that doesn't answer, unless `connect_timeout` says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time that `connect_timeout=0`, no limit, stands for.
const LONGEST_PATIENCE: Duration = Duration::from_secs(600);

/// The server and the database, as far as the address says it. Prints everything but the password.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PostgresDsn {
    said: BTreeMap<&'static str, String>,
}

/// Reads the address of a server; none when the text doesn't even look like one.
pub(super) fn read(text: &str) -> Option<Result<PostgresDsn, DsnError>> {
    let server = text.strip_prefix("postgresql:").or_else(|| text.strip_prefix("postgres:"));
    if let Some(rest) = server {
        return Some(match rest.strip_prefix("//") {
            Some(url) => read_url(url),
            None => read_pairs(rest),
        });
    }
    let key = text.split_once('=')?.0.trim();
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_key.then(|| read_pairs(text))
}

impl PostgresDsn {
    /// The options of the connection: those of the address, and for the rest the environment and the password file.
    pub(in super::super) fn options(&self) -> Result<PgConnectOptions, DsnError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if variable("PGSERVICE").is_some() {
            return Err(DsnError::Unsupported { key: "PGSERVICE" });
        }
        if let Some(port) = variable("PGPORT").filter(|_| !self.said.contains_key("port")) {
            check_port("PGPORT", &port)?;
        }
        if let Some(mode) = variable("PGSSLMODE").filter(|_| !self.said.contains_key("sslmode")) {
            check_ssl_mode("PGSSLMODE", &mode)?;
        }
        // As a URL, since only so the password file is asked with everything known. It is never shown.
        let mut url = String::from("postgres:///?");
        for (key, value) in self.said.iter().filter(|(key, _)| **key != "connect_timeout") {
            let _infallible = write!(url, "{key}={}&", encoded(value));
        }
        url.parse().map_err(|_| {
            // Its own words could repeat what is in the URL.
            DsnError::Syntax("the address of the PostgreSQL server can't be used".to_owned())
        })
    }

    /// The identity of the database, however it was spelled: the host, the port and the name, each with what the
    /// environment and PostgreSQL's defaults say where the address doesn't. Who connects, and how, makes no other
    /// database of it.
    pub(super) fn identity(&self) -> Result<String, DsnError> {
        let options = self.options()?;
        let host = match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => options.get_host().to_ascii_lowercase(),
        };
        let host = match host.trim_matches(['[', ']']).trim_end_matches('.') {
            "127.0.0.1" | "::1" => "localhost",
            other => other,
        };
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        Ok(format!("postgres:host={host} port={} dbname={database}", options.get_port()))
    }

    /// The time to wait for the server.
    pub(in super::super) fn connect_timeout(&self) -> Result<Duration, DsnError> {
        let (key, value) = match self.said.get("connect_timeout") {
            Some(value) => ("connect_timeout", value.clone()),
            None => match std::env::var("PGCONNECT_TIMEOUT").ok().filter(|value| !value.is_empty()) {
                Some(value) => ("PGCONNECT_TIMEOUT", value),
                None => return Ok(PATIENCE),
            },
        };
        let seconds = check_seconds(key, &value)?;
        Ok(if seconds == 0 { LONGEST_PATIENCE } else { Duration::from_secs(seconds).min(LONGEST_PATIENCE) })
    }

    fn say(&mut self, key: &str, value: String) -> Result<(), DsnError> {
        if HARMLESS.contains(&key) {
            return Ok(());
        }
        if let Some(key) = UNSUPPORTED.into_iter().find(|known| *known == key) {
            return Err(DsnError::Unsupported { key });
        }
        let mut known = KEYS.into_iter().chain([USER]);
        let Some(key) = known.find(|known| *known == key) else {
            return Err(DsnError::UnknownKey { key: key.to_owned(), nearest: nearest(key) });
        };
        // As everywhere in PostgreSQL, an empty value says nothing.
        if value.is_empty() {
            return Ok(());
        }
        match key {
            "port" => check_port(key, &value)?,
            "sslmode" => check_ssl_mode(key, &value)?,
            "connect_timeout" => {
                check_seconds(key, &value)?;
            }
            "host" | "hostaddr" if value.contains(',') => {
                let expected = "one server";
                return Err(DsnError::Value { key, value, expected });
            }
            _ => {}
        }
        self.said.insert(key, value);
        Ok(())
    }
}

impl fmt::Display for PostgresDsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres:")?;
        let shown = self.said.iter().filter(|(key, _)| **key != "password");
        for (number, (key, value)) in shown.enumerate() {
            let between = if number == 0 { "" } else { " " };
            write!(f, "{between}{key}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresDsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresDsn({self})")
    }
}

/// `key = value` pairs between blanks; a value with blanks stands in single quotes, a backslash takes the next
/// character as it is.
fn read_pairs(text: &str) -> Result<PostgresDsn, DsnError> {
    let mut server = PostgresDsn::default();
    let mut rest = text.trim_start();
    let mut before: Option<String> = None;
    while !rest.is_empty() {
        let pair = rest.split_once('=').map(|(key, value)| (key.trim_end(), value.trim_start()));
        let Some((key, value)) =
            pair.filter(|(key, _)| !key.is_empty() && !key.contains(char::is_whitespace))
        else {
            // The text here may be the rest of a password.
            let place =
                before.map_or_else(|| "the address".to_owned(), |key| format!("the value of `{key}`"));
            return Err(DsnError::Syntax(format!(
                "{place} isn't followed by KEY=VALUE: put a value with blanks into single quotes, as in \
                 password='a b'"
            )));
        };
        let (value, others) = read_value(key, value)?;
        server.say(key, value)?;
        before = Some(key.to_owned());
        rest = others.trim_start();
    }
    Ok(server)
}

fn read_value<'t>(key: &str, text: &'t str) -> Result<(String, &'t str), DsnError> {
    let (quoted, body) = match text.strip_prefix('\'') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, character)| character)),
            '\'' if quoted => return Ok((value, &body[place + 1..])),
            blank if !quoted && blank.is_whitespace() => return Ok((value, &body[place..])),
            other => value.push(other),
        }
    }
    if quoted {
        return Err(DsnError::Syntax(format!("the value of `{key}` has no closing quote")));
    }
    Ok((value, ""))
}

/// `[user[:password]@][host][:port][/dbname][?key=value&..]`
fn read_url(url: &str) -> Result<PostgresDsn, DsnError> {
    let mut server = PostgresDsn::default();
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let (authority, database) = url.split_once('/').unwrap_or((url, ""));
    if database.contains('@') {
        // The text that would be taken for the port is a part of the password then.
        return Err(DsnError::Syntax(
            "the address of the PostgreSQL server has an `@` after a `/`: in a password write / as %2F and @ as %40"
                .to_owned(),
        ));
    }
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = match address.strip_prefix('[') {
        Some(six) => {
            let (host, rest) = six.split_once(']').ok_or_else(|| {
                DsnError::Syntax("the address of the PostgreSQL server has a `[` without `]`".to_owned())
            })?;
            (host, rest.strip_prefix(':').unwrap_or(rest))
        }
        None => address.rsplit_once(':').unwrap_or((address, "")),
    };
    let parts = [(USER, user), ("password", password), ("host", host), ("port", port), ("dbname", database)];
    for (key, value) in parts {
        server.say(key, decoded(key, value)?)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        server.say(key, decoded(key, value)?)?;
    }
    Ok(server)
}

fn decoded(key: &str, text: &str) -> Result<String, DsnError> {
    let wrong =
        || DsnError::Syntax(format!("`{key}` has a `%` in it that begins no escape: write % itself as %25"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next()).ok_or_else(wrong)?, digit(rest.next()).ok_or_else(wrong)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

fn nearest(key: &str) -> Option<&'static str> {
    let known = KEYS.into_iter().chain([USER]);
    let scored = known.map(|known| (known, strsim::jaro_winkler(known, key)));
    scored.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, likeness)| *likeness > 0.7).map(|(known, _)| known)
}

fn check_port(key: &'static str, value: &str) -> Result<(), DsnError> {
    match value.trim().parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(DsnError::Value { key, value: value.to_owned(), expected: PORT_WORDS }),
    }
}

fn check_ssl_mode(key: &'static str, value: &str) -> Result<(), DsnError> {
    if SSL_MODES.contains(&value) {
        return Ok(());
    }
    Err(DsnError::Value { key, value: value.to_owned(), expected: SSL_MODE_WORDS })
}

fn check_seconds(key: &'static str, value: &str) -> Result<u64, DsnError> {
    value.trim().parse().map_err(|_| DsnError::Value {
        key,
        value: value.to_owned(),
        expected: SECONDS_WORDS,
    })
}

#[cfg(test)]
mod tests;
