//! Errors as text.

/// An error with all its causes on one line: "what failed: why: why that".
///
/// No error of this workspace repeats its source in its own message, so this says each thing once.
///
/// # Example
/// ```
/// use golem::executor::StartError;
/// use golem::payload::PayloadError;
/// use golem::text::chain;
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
