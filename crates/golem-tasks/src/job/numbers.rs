//! Numbers in JSON that can't be kept as they are written.
//!
//! Whole numbers are kept in 64 bits, all others in the 64 bits of a floating-point number. What doesn't fit would be
//! rounded, and a task or a result would become another one: it is refused instead. A number may have more digits than are
//! needed, as programs print them, where these are the digits of the number that is kept.

/// The first number of a JSON text that can't be kept exactly, and the byte at which it begins. The text is valid JSON.
pub(super) fn first_inexact(json: &str) -> Option<(&str, usize)> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = after_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| is_part_of_number(**byte)).count();
                let number = &json[at..at + length];
                if !is_exact(number) {
                    return Some((number, at));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// True if a JSON number is read back as it is written, in as many digits as it has.
pub(super) fn is_exact(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let Ok(kept) = number.parse::<f64>() else { return false };
    let (digits, exponent) = decimal(number);
    if digits.is_empty() {
        return true; // zero, however it is written
    }
    if !kept.is_finite() {
        return false;
    }
    let is_written = |kept: &str| {
        let (kept_digits, kept_exponent) = decimal(kept);
        (digits.trim_end_matches('0'), exponent) == (kept_digits.trim_end_matches('0'), kept_exponent)
    };
    // As it would be written, in the fewest digits, or in as many as there are.
    is_written(&format!("{kept:e}")) || is_written(&format!("{kept:.*e}", digits.len() - 1))
}

/// The significant digits of a number, and the power of ten of the first one. None of zero.
fn decimal(number: &str) -> (String, i64) {
    let number = number.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent = exponent.parse::<i64>().unwrap_or(i64::MAX / 2);
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{decimals}");
    let digits = all.trim_start_matches('0');
    let zeros = i64::try_from(all.len() - digits.len()).unwrap_or(i64::MAX / 4);
    let first = i64::try_from(whole.len()).unwrap_or(i64::MAX / 4) - 1 - zeros;
    (digits.to_owned(), exponent.saturating_add(first))
}

fn is_part_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// The byte after a string that begins at `at`.
fn after_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_be_rounded_are_found() {
        for exact in [
            "0",
            "-0",
            "0.0",
            "-0.000",
            "0e5",
            "1",
            "-1",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "1.50",
            "1e16",
            "1E+2",
            "100.0e-2",
            "0.30000000000000004",
            "3.141592653589793",
            "1.7976931348623157e308",
            "5e-324",
            "123456789012345680.0",
            "1e22",
            "0.10000000000000000555",
            "0.1000000000000000055511151231257827",
            "2.2250738585072014e-308",
        ] {
            assert!(is_exact(exact), "{exact}");
        }
        for inexact in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "0.1234567890123456789",
            "123456789012345678.0",
            "9007199254740993.0",
            "1e400",
            "-1e400",
            "1e-400",
            "1.00000000000000000001",
            "0.10000000000000000001",
            "12345678901234567890e1",
            "1e999999999999999999999",
            "1e23000",
        ] {
            assert!(!is_exact(inexact), "{inexact}");
        }
    }

    #[test]
    fn any_number_that_we_write_is_exact() {
        let mut chance = fastrand::Rng::with_seed(11);
        for _ in 0..20_000 {
            let number = f64::from_bits(chance.u64(..));
            if number.is_finite() {
                for text in [serde_json::to_string(&number).unwrap(), format!("{number:e}")] {
                    let text = if text.contains(['.', 'e']) { text } else { text + ".0" };
                    assert!(is_exact(&text), "{text}");
                }
            }
            assert!(is_exact(&chance.i64(..).to_string()));
        }
    }

    #[test]
    fn it_is_found_wherever_it_stands_and_texts_are_left_alone() {
        let big = "99999999999999999999";
        for (json, at) in [
            (big.to_owned(), Some(0)),
            (format!("[1,{{\"a\": -{big}}}]"), Some(9)),
            (format!("{{\"{big}\": \"\\\"{big}\\\\\", \"b\": {big}}}"), Some(58)),
            (format!("[\"{big}\", \"\\\\\", 1.5]"), None),
            (String::new(), None),
        ] {
            assert_eq!(first_inexact(&json).map(|(_, at)| at), at, "{json}");
        }
    }
}
