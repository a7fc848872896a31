//! One error for programs: any error with its causes, for `main` and for workers.
//!
//! The functions of this crate return errors of their own types, so that a program can tell them apart. A program that
//! only reports them uses [`Error`], which `?` makes of any of them.

use std::error::Error as StdError;
use std::fmt;

/// A result whose error is an [`Error`] unless another one is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, with the chain of its causes.
///
/// The operator `?` converts every error type into it. It doesn't implement [`std::error::Error`] itself, because that
/// would forbid this conversion. `Display` shows the error alone, and `Debug` the error with its causes, so that a `main`
/// that returns it prints all of them.
///
/// # Example
/// ```
/// fn number(text: &str) -> golem_sdk::Result<u32> {
///     Ok(text.parse()?)
/// }
///
/// let error = number("seven").unwrap_err();
/// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// ```
pub struct Error(Box<dyn StdError + Send + Sync>);

impl Error {
    /// An error that is only a message.
    pub fn msg(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// The error as one of this type, if it is of this type.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }

    /// The error as a value of this type.
    ///
    /// # Errors
    /// The unchanged error where it is of another type.
    pub fn downcast<E: StdError + 'static>(self) -> Result<E> {
        self.0.downcast().map(|error| *error).map_err(Self)
    }

    /// The error and its causes, from the outermost to the first.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        let outermost: &(dyn StdError + 'static) = &*self.0;
        std::iter::successors(Some(outermost), |error| (*error).source())
    }

    /// The error as a standard one, for libraries that take those.
    pub fn into_std(self) -> Box<dyn StdError + Send + Sync> {
        self.0
    }

    /// The error and its causes in one line.
    pub(crate) fn in_a_line(&self) -> String {
        crate::text::chain(&*self.0)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)?;
        self.chain().skip(1).try_for_each(|cause| write!(f, "\n  because: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the scene can't be read")]
    struct Scene(#[source] io::Error);

    fn reads() -> Result<()> {
        Err(Scene(io::Error::other("the disk is on fire")))?;
        Ok(())
    }

    #[test]
    fn any_error_becomes_one_and_keeps_its_type_and_its_causes() {
        let error = reads().unwrap_err();
        assert_eq!(error.to_string(), "the scene can't be read");
        assert_eq!(format!("{error:?}"), "the scene can't be read\n  because: the disk is on fire");
        assert_eq!(error.in_a_line(), "the scene can't be read: the disk is on fire");
        assert!(error.downcast_ref::<Scene>().is_some());
        let error = error.downcast::<io::Error>().unwrap_err();
        assert!(error.downcast::<Scene>().is_ok());
    }

    #[test]
    fn a_message_is_an_error_too() {
        assert_eq!(Error::msg("nothing to render").to_string(), "nothing to render");
    }
}
