//! Errors as text.

/// An error with all its causes on one line: "what failed: why: why that".
///
/// No error of this workspace repeats its source in its own message, so this says each thing once.
///
/// # Example
/// ```
/// use golem_sdk::executor::StartError;
/// use golem_sdk::payload::PayloadError;
/// use golem_sdk::text::chain;
///
/// let error = StartError::from(PayloadError::Version("7".to_owned()));
/// assert_eq!(
///     chain(&error),
///     "the payload isn't right: `7` is no version of a runtime: it has three parts, such as 0.5.3",
/// );
/// ```
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// So many characters of a text, with a sign where there were more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The end of a text, of so many bytes at most.
pub(crate) fn tail(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let from = (from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    &text[from..]
}
