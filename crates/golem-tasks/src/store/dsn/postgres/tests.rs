use super::*;

fn said(text: &str) -> Vec<(&'static str, String)> {
    read(text).unwrap_or_else(|| panic!("{text} is an address")).unwrap().said.into_iter().collect()
}

fn refused(text: &str) -> DsnError {
    read(text).unwrap_or_else(|| panic!("{text} is an address")).unwrap_err()
}

fn pairs(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(key, value)| (*key, (*value).to_owned())).collect()
}

#[test]
fn pairs_are_read_as_libpq_reads_them() {
    let golem = pairs(&[
        ("dbname", "golem"),
        ("host", "localhost"),
        ("password", "1234"),
        ("port", "5432"),
        ("user", "golem"),
    ]);
    assert_eq!(said("dbname=golem user=golem password=1234 host=localhost port=5432"), golem);
    assert_eq!(said("  dbname = golem\tuser= 'golem' password =1234 host=localhost\nport=5432  "), golem);
    assert_eq!(said("postgres:dbname=golem user=golem password=1234 host=localhost port=5432"), golem);
    assert_eq!(
        said(r"password='it\'s a \\ secret' user=a\ b dbname='' keepalives=1"),
        pairs(&[("password", r"it's a \ secret"), ("user", "a b")])
    );
    assert_eq!(said(r"password=pass=word"), pairs(&[("password", "pass=word")]));
    assert_eq!(said("postgres:"), pairs(&[]));
    assert_eq!(said("postgresql:"), pairs(&[]));
}

#[test]
fn urls_are_read_as_libpq_reads_them() {
    let golem = pairs(&[
        ("dbname", "golem"),
        ("host", "localhost"),
        ("password", "1:2@/?"),
        ("port", "5432"),
        ("user", "golem"),
    ]);
    assert_eq!(said("postgres://golem:1%3A2%40%2F%3F@localhost:5432/golem"), golem);
    assert_eq!(said("postgresql:///golem?host=localhost&port=5432&user=golem&password=1%3a2@%2F%3F"), golem);
    assert_eq!(said("postgres://"), pairs(&[]));
    assert_eq!(said("postgres://me@"), pairs(&[("user", "me")]));
    assert_eq!(said("postgres://[::1]:7/x"), pairs(&[("dbname", "x"), ("host", "::1"), ("port", "7")]));
    assert_eq!(said("postgres://%2Fvar%2Frun/x"), pairs(&[("dbname", "x"), ("host", "/var/run")]));
}

#[test]
fn what_is_no_address_is_left_to_others() {
    for text in ["runs.db", "mysql://x/y?a=b", "Runs=1.db", "./a=b", ""] {
        assert!(read(text).is_none(), "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_mend() {
    for (text, words) in [
        ("dbnam=golem", "`dbnam` is not a key of a PostgreSQL address: did you mean `dbname`?"),
        ("usr=golem", "did you mean `user`?"),
        ("zzz=1", "`zzz` is not a key of a PostgreSQL address"),
        ("postgres://x/y?ssl_mode=require", "did you mean `sslmode`?"),
        ("service=golem", "`service` isn't supported"),
        ("port=http", "`http` is not a valid value for `port`: expected a number from 1 to 65535"),
        ("port=0", "expected a number"),
        ("sslmode=on", "expected disable, allow, prefer, require, verify-ca or verify-full"),
        ("host=a,b", "expected one server"),
        ("connect_timeout=soon", "expected a number of seconds"),
        ("postgres://me@a%zz/x", "`host` has a `%` in it"),
        ("user='me", "the value of `user` has no closing quote"),
    ] {
        let told = refused(text).to_string();
        assert!(told.contains(words), "{text}: {told}");
    }
}

#[test]
fn no_message_tells_a_password() {
    for text in [
        "password=secret word dbname=golem",
        "password='secret",
        "postgres://me:secret%zz@x/y",
        "pasword=secret",
        "postgres://me:secret@x:port/y",
        "postgres:password=secret hots=x",
        "postgres://me:top/secret@x/y",
        "postgres://me:secret/top@x/y",
    ] {
        let told = refused(text);
        assert!(!format!("{told} {told:?}").contains("secret"), "{text}: {told}");
    }
    let server = read("user=me password=secret host=x").unwrap().unwrap();
    assert_eq!(
        format!("{server} {server:?}"),
        "postgres:host=x user=me PostgresDsn(postgres:host=x user=me)"
    );
}

#[test]
fn what_is_said_is_what_is_connected_with() {
    let server = read(
        r"dbname='a b' user=golem password=%41& host=localhost port=5433 sslmode=disable connect_timeout=3",
    )
    .unwrap()
    .unwrap();
    let options = server.options().unwrap();
    assert_eq!(
        (options.get_database(), options.get_username(), options.get_host(), options.get_port()),
        (Some("a b"), "golem", "localhost", 5433)
    );
    assert_eq!(server.connect_timeout().unwrap(), Duration::from_secs(3));
    let server = read("host=/var/run/x dbname=golem").unwrap().unwrap();
    assert_eq!(server.options().unwrap().get_socket().unwrap().to_str(), Some("/var/run/x"));
}

/// What runs get on standard input is kept by the database, however it is spelled.
#[test]
fn two_spellings_of_one_database_are_one_database() {
    let identity = |text: &str| read(text).unwrap().unwrap().identity().unwrap();
    for (one, others) in [
        (
            "postgres://ann@db.example.org/runs",
            &[
                "postgresql://ann:secret@DB.example.org:5432/runs?sslmode=disable",
                "dbname=runs host=db.example.org user=ben port=5432",
                "postgres:host='db.example.org' dbname=runs user=ann connect_timeout=3",
            ][..],
        ),
        (
            "postgres://ann@localhost:5433/ann",
            &[
                "host=127.0.0.1 port=5433 user=ann",
                "postgres://ann@[::1]:5433/ann",
                "host=localhost port=5433 user=ann dbname=ann",
            ],
        ),
        ("host=/run/pg user=ann dbname=a", &["postgres://ann@%2Frun%2Fpg/a"]),
    ] {
        for other in others {
            assert_eq!(identity(one), identity(other), "{other}");
        }
    }
    let several = [
        "postgres://ann@db.example.org/runs",
        "postgres://ann@db.example.org/others",
        "postgres://ann@db.example.org:5433/runs",
        "postgres://ann@db2.example.org/runs",
        "postgres://ann@db.example.org/Runs",
    ];
    let identities: std::collections::BTreeSet<_> = several.into_iter().map(identity).collect();
    assert_eq!(identities.len(), several.len(), "{identities:?}");
    assert!(!identity("postgres://ann:secret@db/runs").contains("secret"));
}
