//! What happens, in the log.
