//! Proxies that the environment names, and which addresses they have a part in.

use std::net::IpAddr;

use reqwest::Url;

/// A proxy that an environment variable names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedProxy {
    /// The variable.
    pub variable: &'static str,
    /// The proxy's address, without a user and a password.
    pub address: String,
}

/// Variables for addresses of `http://`, of `https://`, and of both.
const OF_HTTP: [&str; 2] = ["http_proxy", "HTTP_PROXY"];
const OF_HTTPS: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
const OF_ALL: [&str; 2] = ["all_proxy", "ALL_PROXY"];
const OF_NONE: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// True if the address is one of this machine, which no proxy can reach for us.
pub fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// The proxy that the variables of the environment name for an address; none for an address of this machine.
pub fn named_for(url: &Url, variable: impl Fn(&str) -> Option<String>) -> Option<NamedProxy> {
    let own = if url.scheme() == "https" { OF_HTTPS } else { OF_HTTP };
    let value =
        |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    if is_loopback(url) || OF_NONE.into_iter().find_map(value).is_some_and(|list| is_listed(url, &list)) {
        return None;
    }
    own.into_iter().chain(OF_ALL).find_map(|variable| {
        let address = without_secrets(&value(variable)?);
        Some(NamedProxy { variable, address })
    })
}

/// True if a list such as `example.org,.internal,10.0.0.1` has the address.
fn is_listed(url: &Url, list: &str) -> bool {
    let Some(host) = url.host_str().map(str::to_ascii_lowercase) else { return false };
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(
        |entry| {
            let domain = entry.trim_start_matches('.');
            entry == "*"
                || host == domain
                || host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
        },
    )
}

fn without_secrets(address: &str) -> String {
    if let Ok(mut url) = Url::parse(address)
        && url.has_host()
        && url.set_username("").is_ok()
        && url.set_password(None).is_ok()
    {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    address.rsplit('@').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str, variables: &[(&str, &str)]) -> Option<(&'static str, String)> {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        named_for(&url.parse().unwrap(), find).map(|proxy| (proxy.variable, proxy.address))
    }

    #[test]
    fn addresses_of_this_machine_have_no_proxy() {
        let all = [("ALL_PROXY", "http://proxy:1"), ("http_proxy", "http://proxy:1")];
        for url in [
            "http://127.0.0.1:7465",
            "http://127.9.9.9",
            "http://localhost:7465/x",
            "http://LOCALHOST.",
            "http://a.localhost",
            "http://[::1]:1",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(named(url, &all), None, "{url}");
        }
        assert!(named("http://localhost.example.org", &all).is_some());
    }

    #[test]
    fn the_variable_of_the_scheme_comes_before_that_of_all() {
        let all = [
            ("HTTP_PROXY", "http://user:secret@one:8080/"),
            ("HTTPS_PROXY", " https://two "),
            ("ALL_PROXY", "socks5://three:1"),
            ("NO_PROXY", "example.org, .internal,10.0.0.1"),
        ];
        let one = || Some(("HTTP_PROXY", "http://one:8080".to_owned()));
        assert_eq!(named("http://10.0.0.2:7465", &all), one());
        assert_eq!(named("https://daemon", &all), Some(("HTTPS_PROXY", "https://two".to_owned())));
        assert_eq!(named("https://daemon", &all[2..]), Some(("ALL_PROXY", "socks5://three:1".to_owned())));
        for direct in ["http://10.0.0.1", "http://example.org", "http://a.example.org", "http://b.internal"] {
            assert_eq!(named(direct, &all), None, "{direct}");
        }
        assert_eq!(named("http://notexample.org", &all), one());
        assert_eq!(named("http://x", &[("HTTP_PROXY", "http://y"), ("no_proxy", "*")]), None);
        assert_eq!(named("http://x", &[("HTTP_PROXY", "u:p@y:1")]), Some(("HTTP_PROXY", "y:1".to_owned())));
        assert_eq!(named("http://x", &[("HTTP_PROXY", "")]), None);
    }
}
