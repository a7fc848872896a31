//! The language in which demands and offers say what they ask of each other.
//!
//! LDAP-like filters: `(&(golem.inf.mem.gib>=0.5)(!(golem.runtime.name=wasi))(|(a=1)(b=*)))`, white space allowed
//! between filters, `()` for "anything". Inside a comparison the daemon takes white space as it stands, so what is
//! built here has none. This module builds, parses and prints them; what they mean against
//! properties is the market's business.

use std::fmt;
use std::str::FromStr;

/// A filter over the other side's properties.
///
/// Prints as the daemon reads it; parsing what was printed gives the same filter.
///
/// # Example
/// ```
/// use yagna_api::constraints::{Constraints, Operator};
/// let filter = Constraints::all([
///     Constraints::compare("golem.inf.mem.gib", Operator::AtLeast, "0.5"),
///     Constraints::equals("golem.runtime.name", "vm"),
/// ]);
/// assert_eq!(filter.to_string(), "(&(golem.inf.mem.gib>=0.5)(golem.runtime.name=vm))");
/// assert_eq!(filter.to_string().parse::<Constraints>()?, filter);
/// # Ok::<(), yagna_api::constraints::ConstraintsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraints {
    /// `()`: always true.
    Anything,
    /// `(&..)`: all are true.
    All(Vec<Self>),
    /// `(|..)`: at least one is true.
    Any(Vec<Self>),
    /// `(!..)`: it is false.
    Not(Box<Self>),
    /// `(name=*)`: the property is there.
    Present(String),
    /// `(name>=value)`: the property compares so.
    Compare {
        /// The property's dotted name, perhaps with a type suffix: `$v` version, `$d` decimal, `$t` time.
        name: String,
        /// The comparison.
        operator: Operator,
        /// With what, as written.
        value: String,
    },
}

/// The comparisons between a property and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Operator {
    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("constraints can't be read at character {at}: {problem}")]
pub struct ConstraintsError {
    /// The position of the error, in bytes from 0.
    pub at: usize,
    /// The problem at this position.
    pub problem: &'static str,
}

impl Constraints {
    /// All of these; a single one stands for itself, none at all for anything.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().collect();
        match parts.len() {
            0 => Self::Anything,
            1 => parts.remove(0),
            _ => Self::All(parts),
        }
    }

    /// The property compares so with the value.
    pub fn compare(name: impl Into<String>, operator: Operator, value: impl fmt::Display) -> Self {
        Self::Compare { name: name.into(), operator, value: value.to_string() }
    }

    /// The property is this.
    pub fn equals(name: impl Into<String>, value: impl fmt::Display) -> Self {
        Self::compare(name, Operator::Equal, value)
    }

    /// The property is at least this.
    pub fn at_least(name: impl Into<String>, value: impl fmt::Display) -> Self {
        Self::compare(name, Operator::AtLeast, value)
    }
}

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, sign: &str, parts: &[Self]| {
            write!(f, "({sign}")?;
            for part in parts {
                write!(f, "{part}")?;
            }
            f.write_str(")")
        };
        match self {
            Self::Anything => f.write_str("()"),
            Self::All(parts) => list(f, "&", parts),
            Self::Any(parts) => list(f, "|", parts),
            Self::Not(part) => write!(f, "(!{part})"),
            Self::Present(name) => write!(f, "({name}=*)"),
            Self::Compare { name, operator, value } => write!(f, "({name}{}{value})", operator.as_str()),
        }
    }
}

impl FromStr for Constraints {
    type Err = ConstraintsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        parser.skip_space();
        let filter = parser.filter()?;
        parser.skip_space();
        if parser.at < text.len() { Err(parser.error("nothing may follow the filter")) } else { Ok(filter) }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    /// Deeper than any real filter, shallow enough for any stack.
    const MAX_DEPTH: u32 = 100;

    fn error(&self, problem: &'static str) -> ConstraintsError {
        ConstraintsError { at: self.at, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), ConstraintsError> {
        if self.peek() != Some(byte) {
            return Err(self.error(problem));
        }
        self.at += 1;
        Ok(())
    }

    fn filter(&mut self) -> Result<Constraints, ConstraintsError> {
        self.expect(b'(', "expected `(`")?;
        self.depth += 1;
        if self.depth > Self::MAX_DEPTH {
            return Err(self.error("too deeply nested"));
        }
        self.skip_space();
        let filter = match self.peek() {
            None => return Err(self.error("the filter isn't complete")),
            Some(b')') => Constraints::Anything,
            Some(b'&') => Constraints::All(self.parts()?),
            Some(b'|') => Constraints::Any(self.parts()?),
            Some(b'!') => {
                self.at += 1;
                self.skip_space();
                Constraints::Not(Box::new(self.filter()?))
            }
            Some(_) => self.comparison()?,
        };
        self.skip_space();
        self.expect(b')', "expected `)`")?;
        self.depth -= 1;
        Ok(filter)
    }

    fn parts(&mut self) -> Result<Vec<Constraints>, ConstraintsError> {
        self.at += 1;
        let mut parts = Vec::new();
        loop {
            self.skip_space();
            if self.peek() != Some(b'(') {
                return Ok(parts);
            }
            parts.push(self.filter()?);
        }
    }

    fn comparison(&mut self) -> Result<Constraints, ConstraintsError> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.find(['=', '<', '>', '(', ')']) else {
            return Err(self.error("expected a comparison such as name=value"));
        };
        let name = rest[..end].trim().to_owned();
        if name.is_empty() {
            return Err(self.error("expected a property's name"));
        }
        self.at += end;
        let rest = &self.text[self.at..];
        let operators =
            [Operator::AtMost, Operator::AtLeast, Operator::Equal, Operator::Less, Operator::Greater];
        let Some(operator) = operators.into_iter().find(|operator| rest.starts_with(operator.as_str()))
        else {
            return Err(self.error("expected one of = < <= > >="));
        };
        self.at += operator.as_str().len();
        let rest = &self.text[self.at..];
        let Some(end) = rest.find([')', '(']) else {
            return Err(self.error("the filter isn't complete"));
        };
        let value = rest[..end].trim().to_owned();
        self.at += end;
        if operator == Operator::Equal && value == "*" {
            return Ok(Constraints::Present(name));
        }
        Ok(Constraints::Compare { name, operator, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_clients_send_is_read() {
        let text = "(&(golem.node.debug.subnet=public)\n\t(|\n  (golem.com.payment.platform.erc20-hoodi-tglm.address=*)\n)\n\t\
                    (golem.com.payment.protocol.version>1)\n\t(!(golem.runtime.name=wasi)))";
        let filter: Constraints = text.parse().unwrap();
        assert_eq!(
            filter.to_string(),
            "(&(golem.node.debug.subnet=public)(|(golem.com.payment.platform.erc20-hoodi-tglm.address=*))\
             (golem.com.payment.protocol.version>1)(!(golem.runtime.name=wasi)))"
        );
        assert_eq!("()".parse(), Ok(Constraints::Anything));
        assert_eq!(
            "(golem.runtime.version$v>=0.3.0)".parse(),
            Ok(Constraints::at_least("golem.runtime.version$v", "0.3.0"))
        );
    }

    #[test]
    fn what_is_no_filter_is_refused_where_it_fails() {
        for (text, at) in
            [("", 0), ("((((", 1), ("(a=1", 3), ("(a)", 2), ("(a=1))", 5), ("(=1)", 1), ("(!a=1)", 2)]
        {
            assert_eq!(text.parse::<Constraints>().unwrap_err().at, at, "{text}");
        }
        assert!("(&".repeat(10_000).parse::<Constraints>().is_err());
    }

    fn filters() -> impl Strategy<Value = Constraints> {
        let operator = prop_oneof![
            Just(Operator::Equal),
            Just(Operator::Less),
            Just(Operator::AtMost),
            Just(Operator::Greater),
            Just(Operator::AtLeast)
        ];
        let leaf = prop_oneof![
            Just(Constraints::Anything),
            "[a-z.$-]{1,12}".prop_map(Constraints::Present),
            ("[a-z.$-]{1,12}", operator, "[a-z0-9.\\[\\],-]{1,8}")
                .prop_map(|(name, operator, value)| { Constraints::Compare { name, operator, value } }),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Constraints::All),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Constraints::Any),
                inner.prop_map(|part| Constraints::Not(Box::new(part))),
            ]
        })
    }

    proptest! {
        #[test]
        fn parse_and_print_round_trip(filter in filters()) {
            prop_assert_eq!(filter.to_string().parse::<Constraints>().unwrap(), filter);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[()&|!=<>a* \\n]{0,40}") {
            drop(text.parse::<Constraints>());
        }
    }
}
