//! The matching of an offer and a demand: the constraint language, evaluated as the daemon does it.
//!
//! The devnet reads constraints with a parser of its own. What the daemon takes literally (white space around a
//! name or a value, text after the filter) is taken literally here too, so that a client's slip shows.

use std::cmp::Ordering;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;
use yagna_api::Properties;

/// The properties and constraints of one side, parsed once.
#[derive(Debug, PartialEq)]
pub(crate) struct Sheet {
    /// Its properties.
    pub(crate) properties: Properties,
    /// Its constraints, as written.
    pub(crate) constraints: String,
    filter: Result<Filter, SyntaxError>,
}

/// A text that is no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    /// It ends too early: it would have to have at least so many bytes.
    #[error("Incomplete expression: Size({0})")]
    Incomplete(usize),
    /// It says something else.
    #[error("Parsing error: Alternative")]
    Unexpected,
}

/// The verdict of a filter on some properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They suit.
    True,
    /// They don't.
    False,
    /// A property that is compared isn't there, or can't be read as the type asked for.
    Undefined,
}

impl Sheet {
    /// Reads both parts. Constraints that can't be read are kept: they suit nothing.
    pub(crate) fn new(properties: Properties, constraints: String) -> Self {
        let filter = Filter::read(&constraints);
        Self { properties, constraints, filter }
    }

    /// The syntax error in the constraints, if there is one.
    pub(crate) fn syntax_error(&self) -> Option<SyntaxError> {
        self.filter.as_ref().err().copied()
    }

    /// The verdict of our constraints on the other side's properties.
    pub(crate) fn judge(&self, other: &Self) -> Verdict {
        self.filter.as_ref().map_or(Verdict::Undefined, |filter| filter.judge(&other.properties))
    }

    /// The properties that our constraints ask for in vain, as far as the daemon tells which: of all that must hold
    /// it tells none when one of them plainly doesn't.
    pub(crate) fn missing_from(&self, other: &Self) -> Vec<&str> {
        let mut missing = Vec::new();
        if let Ok(filter) = &self.filter {
            filter.note_missing(&other.properties, &mut missing);
        }
        missing
    }

    /// True if both sides suit each other.
    pub(crate) fn suits(&self, other: &Self) -> bool {
        self.judge(other) == Verdict::True && other.judge(self) == Verdict::True
    }
}

/// A filter over properties.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    Anything,
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Present(Reference),
    Compare(Reference, Comparison, String),
}

/// A property as a filter names it: `name`, `name$d`, `name[aspect]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reference {
    name: String,
    kind: Kind,
    /// Aspects are part of the language, but no property ever has one.
    aspect: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Any,
    Decimal,
    Version,
    Time,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::AtLeast => ordering.is_ge(),
        }
    }
}

impl Filter {
    /// Reads a filter; what follows it is ignored, as the daemon does.
    pub(crate) fn read(text: &str) -> Result<Self, SyntaxError> {
        Reader { text, at: 0, depth: 0 }.filter()
    }

    pub(crate) fn judge(&self, properties: &Properties) -> Verdict {
        match self {
            Self::Anything => Verdict::True,
            Self::All(parts) => {
                let mut verdict = Verdict::True;
                for part in parts {
                    match part.judge(properties) {
                        Verdict::False => return Verdict::False,
                        Verdict::Undefined => verdict = Verdict::Undefined,
                        Verdict::True => {}
                    }
                }
                verdict
            }
            Self::Any(parts) => {
                let mut verdict = Verdict::False;
                for part in parts {
                    match part.judge(properties) {
                        Verdict::True => return Verdict::True,
                        Verdict::Undefined => verdict = Verdict::Undefined,
                        Verdict::False => {}
                    }
                }
                verdict
            }
            Self::Not(part) => match part.judge(properties) {
                Verdict::True => Verdict::False,
                Verdict::False => Verdict::True,
                Verdict::Undefined => Verdict::Undefined,
            },
            Self::Present(reference) => {
                if reference.is_in(properties) {
                    Verdict::True
                } else {
                    Verdict::False
                }
            }
            Self::Compare(reference, comparison, text) => reference.judge(properties, *comparison, text),
        }
    }
}

impl Filter {
    fn note_missing<'a>(&'a self, properties: &Properties, missing: &mut Vec<&'a str>) {
        let before = missing.len();
        match self {
            Self::Anything => {}
            Self::All(parts) | Self::Any(parts) => {
                for part in parts {
                    part.note_missing(properties, missing);
                }
            }
            Self::Not(part) => part.note_missing(properties, missing),
            Self::Present(reference) | Self::Compare(reference, ..) => {
                if !reference.is_in(properties) {
                    missing.push(&reference.name);
                }
            }
        }
        let tells_none = match self.judge(properties) {
            Verdict::True => true,
            Verdict::False => matches!(self, Self::All(_) | Self::Not(_)),
            Verdict::Undefined => false,
        };
        if tells_none {
            missing.truncate(before);
        }
    }
}

impl Reference {
    fn is_in(&self, properties: &Properties) -> bool {
        !self.aspect && properties.get(&self.name).is_some_and(is_readable)
    }

    fn new(text: &str) -> Self {
        let (name, kind) = [("$d", Kind::Decimal), ("$v", Kind::Version), ("$t", Kind::Time)]
            .into_iter()
            .find_map(|(suffix, kind)| Some((text.strip_suffix(suffix)?, kind)))
            .unwrap_or((text, Kind::Any));
        let aspect = name.ends_with(']').then(|| name.split_once('[')).flatten();
        Self { name: aspect.map_or(name, |(name, _)| name).to_owned(), kind, aspect: aspect.is_some() }
    }

    fn judge(&self, properties: &Properties, comparison: Comparison, text: &str) -> Verdict {
        let Some(value) = properties.get(&self.name).filter(|value| !self.aspect && is_readable(value))
        else {
            return Verdict::Undefined;
        };
        let holds = match (self.kind, value) {
            (Kind::Any, value) => compare(value, comparison, text),
            (Kind::Decimal, Value::String(value)) => {
                let Ok(value) = value.parse::<Decimal>() else {
                    return Verdict::Undefined;
                };
                text.parse::<Decimal>().is_ok_and(|text| comparison.holds(value.cmp(&text)))
            }
            (Kind::Version, Value::String(value)) => {
                let Some(value) = Version::read(value) else {
                    return Verdict::Undefined;
                };
                Version::read(text).is_some_and(|text| comparison.holds(value.cmp(&text)))
            }
            (Kind::Time, Value::String(value)) => {
                let Ok(value) = value.parse::<Timestamp>() else {
                    return Verdict::Undefined;
                };
                text.parse::<Timestamp>().is_ok_and(|text| comparison.holds(value.cmp(&text)))
            }
            _ => return Verdict::Undefined,
        };
        if holds { Verdict::True } else { Verdict::False }
    }
}

/// The daemon drops properties that are no strings, numbers, truths or lists of these.
fn is_readable(value: &Value) -> bool {
    match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => true,
        Value::Array(items) => items.iter().all(is_readable),
        Value::Null | Value::Object(_) => false,
    }
}

fn compare(value: &Value, comparison: Comparison, text: &str) -> bool {
    match value {
        Value::String(value) if comparison == Comparison::Equal => like(text, value),
        Value::String(value) => comparison.holds(value.as_str().cmp(text)),
        Value::Number(value) => match (value.as_f64(), text.parse::<f64>()) {
            (Some(value), Ok(text)) => value.partial_cmp(&text).is_some_and(|order| comparison.holds(order)),
            _ => false,
        },
        Value::Bool(value) => comparison == Comparison::Equal && text.parse() == Ok(*value),
        Value::Array(items) => comparison == Comparison::Equal && contains(items, text),
        Value::Null | Value::Object(_) => false,
    }
}

/// `(list=[a,b])` asks for the same items, `(list=a)` for one of them.
fn contains(items: &[Value], text: &str) -> bool {
    let has = |text: &str| items.iter().any(|item| compare(item, Comparison::Equal, text));
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(list) if !list.contains(['[', ']']) => {
            let wanted: Vec<_> = list.split(',').map(str::trim).collect();
            wanted.len() == items.len() && wanted.into_iter().all(has)
        }
        _ => has(text),
    }
}

/// Equality where a `*` of the pattern stands for any text. The daemon makes a regular expression of such a
/// pattern without quoting it, so a dot beside a star stands for any character.
fn like(pattern: &str, text: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == text;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == text[t] || pattern[p] == '.') {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// A semantic version: three numbers, and what comes before the release.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u64; 3],
    /// A release is above its pre-releases.
    released: bool,
    before: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

impl Version {
    fn read(text: &str) -> Option<Self> {
        let text = text.split_once('+').map_or(text, |(text, _build)| text);
        let (numbers, before) = text.split_once('-').map_or((text, None), |(n, b)| (n, Some(b)));
        let mut parts = numbers.split('.').map(|part| {
            let plain = part == "0" || !part.starts_with('0');
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten().filter(|_| plain)
        });
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        if parts.next().is_some() || before.is_some_and(str::is_empty) {
            return None;
        }
        let before = before
            .into_iter()
            .flat_map(|before| before.split('.'))
            .map(|part| part.parse().map_or_else(|_| Part::Text(part.to_owned()), Part::Number))
            .collect::<Vec<_>>();
        Some(Self { numbers, released: before.is_empty(), before })
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    /// Deeper than any real filter, shallow enough for any stack.
    const MAX_DEPTH: u32 = 100;

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, sign: char) -> Result<(), SyntaxError> {
        match self.rest().chars().next() {
            Some(found) if found == sign => {
                self.at += sign.len_utf8();
                Ok(())
            }
            Some(_) => Err(SyntaxError::Unexpected),
            None => Err(self.incomplete(1)),
        }
    }

    /// It ends where so many more bytes must be.
    fn incomplete(&self, missing: usize) -> SyntaxError {
        SyntaxError::Incomplete(self.at + missing)
    }

    fn filter(&mut self) -> Result<Filter, SyntaxError> {
        if self.rest().starts_with("()") {
            self.at += 2;
            return Ok(Filter::Anything);
        }
        if self.rest().is_empty() || self.rest() == "(" {
            return Err(self.incomplete(2));
        }
        self.depth += 1;
        if self.depth > Self::MAX_DEPTH {
            return Err(SyntaxError::Unexpected);
        }
        self.skip_space();
        if self.rest().starts_with("()") {
            // Not preceded by a sign of its own, an empty filter may not be led in by white space.
            return Err(SyntaxError::Unexpected);
        }
        self.take('(')?;
        self.skip_space();
        let filter = match self.rest().chars().next() {
            None => return Err(self.incomplete(1)),
            Some('&') => Filter::All(self.parts()?),
            Some('|') => Filter::Any(self.parts()?),
            Some('!') => {
                self.at += 1;
                self.skip_space();
                Filter::Not(Box::new(self.filter()?))
            }
            Some(_) => self.comparison()?,
        };
        self.skip_space();
        self.take(')')?;
        self.skip_space();
        self.depth -= 1;
        Ok(filter)
    }

    fn parts(&mut self) -> Result<Vec<Filter>, SyntaxError> {
        self.at += 1;
        self.skip_space();
        let mut parts = Vec::new();
        while self.rest().trim_start_matches([' ', '\t', '\r', '\n']).starts_with('(') {
            parts.push(self.filter()?);
        }
        Ok(parts)
    }

    fn comparison(&mut self) -> Result<Filter, SyntaxError> {
        let Some(end) = self.rest().find(['=', '<', '>', '~']) else {
            return Err(SyntaxError::Incomplete(self.text.len() + 2));
        };
        let reference = Reference::new(&self.rest()[..end]);
        self.at += end;
        if matches!(self.rest(), "=" | "<" | ">") {
            return Err(self.incomplete(2));
        }
        if self.rest().starts_with("=*") {
            self.at += 2;
            return Ok(Filter::Present(reference));
        }
        let (sign, comparison) = [
            ("=", Comparison::Equal),
            ("<=", Comparison::AtMost),
            ("<", Comparison::Less),
            (">=", Comparison::AtLeast),
            (">", Comparison::Greater),
        ]
        .into_iter()
        .find(|(sign, _)| self.rest().starts_with(sign))
        .ok_or(SyntaxError::Unexpected)?;
        self.at += sign.len();
        if self.rest().is_empty() {
            return Err(self.incomplete(1));
        }
        let end = self.rest().find(')').ok_or(SyntaxError::Unexpected)?;
        let value = self.rest()[..end].to_owned();
        self.at += end;
        Ok(Filter::Compare(reference, comparison, value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(filter: &str, properties: Value) -> Result<Verdict, SyntaxError> {
        Filter::read(filter).map(|filter| filter.judge(&Properties::from_value(properties)))
    }

    #[test]
    fn filters_judge_as_the_daemon_does() {
        use Verdict::{False, True, Undefined};
        let properties = json!({
            "golem": {"inf": {"mem.gib": 8.0}, "runtime.name": "vm", "runtime.version": "0.10.0"},
            "n": 10, "s": "10", "b": true, "l": ["vpn", "inet"], "ln": [1, 2], "null": null, "obj": [{"a": 1}],
            "d": "10.000000000000000001", "t": "2026-11-21T21:17:19Z", "name": "node-7.golem", "p": "3",
        });
        let table = [
            ("()", True),
            ("(&)", True),
            ("(|)", False),
            ("(golem.inf.mem.gib>=0.5)", True),
            ("(golem.inf.mem.gib=8)", True),
            ("(golem.inf.mem.gib<8)", False),
            ("(golem.inf.mem.gib<=8.0)", True),
            ("(n>9)", True),
            ("(n>nine)", False),
            ("(n> 9)", False),
            ("(s>9)", False), // text compares by its characters
            ("(p>1)", True),
            ("(p>2)", True),
            ("(s=10)", True),
            ("(b=true)", True),
            ("(b=True)", False),
            ("(b>false)", False),
            ("(l=vpn)", True),
            ("(l=v*)", True),
            ("(l=gpu)", False),
            ("(l=[inet,vpn])", True),
            ("(l=[inet, vpn])", True),
            ("(l=[inet])", False),
            ("(ln=2)", True),
            ("(l>a)", False),
            ("(absent=1)", Undefined),
            ("(!(absent=1))", Undefined),
            ("(absent=*)", False),
            ("(!(absent=*))", True),
            ("(n=*)", True),
            ("(null=*)", False),
            ("(null=null)", Undefined),
            ("(obj=*)", False),
            ("(&(n=10)(absent=1))", Undefined),
            ("(&(n=11)(absent=1))", False),
            ("(|(n=10)(absent=1))", True),
            ("(|(n=11)(absent=1))", Undefined),
            ("(!(n=11))", True),
            ("(name=node-*.golem)", True),
            ("(name=node-*)", True),
            ("(name=node-?.golem)", False),
            ("(golem.runtime.version>0.9.0)", False),
            ("(golem.runtime.version$v>0.9.0)", True),
            ("(golem.runtime.version$v=0.10.0)", True),
            ("(golem.runtime.version$v>0.10.0-rc1)", True),
            ("(golem.runtime.version$v>nonsense)", False),
            ("(name$v>0.1.0)", Undefined),
            ("(n$v>0.1.0)", Undefined),
            ("(golem.runtime.version@v>0.9.0)", Undefined), // no such suffix: a name like any other
            ("(d$d>10)", True),
            ("(d$d=10.0)", False),
            ("(t$t>2026-11-21T21:00:00+00:00)", True),
            ("(n[aspect]=1)", Undefined),
            ("(n[aspect]=*)", False),
            ("( n=10)", True),
            ("(n =10)", Undefined),
            ("(&\n\t(n=10)\n (b=true) )", True),
            ("(n=10) and more", True),
        ];
        for (filter, verdict) in table {
            assert_eq!(judge(filter, properties.clone()), Ok(verdict), "{filter}");
        }
    }

    #[test]
    fn bad_filters_suit_nothing() {
        for (filter, error) in [
            ("", SyntaxError::Incomplete(2)),
            ("((((", SyntaxError::Incomplete(6)),
            ("(n=10", SyntaxError::Unexpected),
            ("(name=*golem)", SyntaxError::Unexpected),
            ("(n~10)", SyntaxError::Unexpected),
            ("n=10", SyntaxError::Unexpected),
            ("( )", SyntaxError::Incomplete(5)),
        ] {
            assert_eq!(judge(filter, json!({"n": 10})), Err(error), "{filter}");
            let bad = Sheet::new(Properties::new(), filter.to_owned());
            let open = Sheet::new(Properties::new(), "()".to_owned());
            assert!(!bad.suits(&open) && !open.suits(&bad) && open.suits(&open), "{filter}");
        }
        assert!(Filter::read(&"(&".repeat(10_000)).is_err());
    }

    #[test]
    fn versions_order_by_their_rules() {
        let order =
            ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "1.2.0"];
        for pair in order.windows(2) {
            assert!(Version::read(pair[0]) < Version::read(pair[1]), "{pair:?}");
        }
        for bad in ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "1.2.3-"] {
            assert_eq!(Version::read(bad), None, "{bad}");
        }
    }
}
