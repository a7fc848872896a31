//! The addresses of files: `gftp://<node id>/<name>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use yagna_api::NodeId;
use yagna_client::Url;

/// An address that may be a file's: any URL, for what is wrong with it is told when it is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct FileUrl(Url);

/// A text that is no URL at all.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no URL: {reason}")]
pub(super) struct FileUrlError {
    text: String,
    reason: <Url as FromStr>::Err,
}

/// A URL that can't be a file's.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a valid address of a file: expected gftp://<node id>/<name>")]
pub(super) struct NotGftp(FileUrl);

impl FileUrl {
    /// The address of a node's file.
    pub(super) fn new(node: &NodeId, name: &str) -> Result<Self, FileUrlError> {
        format!("gftp://{node}/{name}").parse()
    }

    /// The name of the file: the end of the path, whatever stands before it.
    pub(super) fn name(&self) -> Result<&str, NotGftp> {
        let name = self.0.path_segments().and_then(|mut segments| segments.next_back());
        name.filter(|name| !name.is_empty()).ok_or_else(|| NotGftp(self.clone()))
    }

    /// The owner of the file, and its name there.
    pub(super) fn place(&self) -> Result<(NodeId, &str), NotGftp> {
        let node = self.0.host_str().and_then(|host| host.parse().ok());
        match (self.0.scheme(), node) {
            ("gftp", Some(node)) => Ok((node, self.name()?)),
            _ => Err(NotGftp(self.clone())),
        }
    }
}

impl FromStr for FileUrl {
    type Err = FileUrlError;

    fn from_str(text: &str) -> Result<Self, FileUrlError> {
        text.parse().map(Self).map_err(|reason| FileUrlError { text: text.to_owned(), reason })
    }
}

impl TryFrom<String> for FileUrl {
    type Error = FileUrlError;

    fn try_from(text: String) -> Result<Self, FileUrlError> {
        text.parse()
    }
}

impl From<FileUrl> for String {
    fn from(url: FileUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_address_names_its_node_and_itself() {
        let node: NodeId = "0x00000000000000000000000000000000000000ab".parse().unwrap();
        let url = FileUrl::new(&node, "Zz09").unwrap();
        assert_eq!(url.to_string(), "gftp://0x00000000000000000000000000000000000000ab/Zz09");
        assert_eq!(url.place().unwrap(), (node, "Zz09"));
    }

    #[test]
    fn other_addresses_are_refused() {
        assert!("no url".parse::<FileUrl>().is_err());
        for text in ["gftp://0x1/ab", "http://0x00000000000000000000000000000000000000ab/ab"] {
            let url: FileUrl = text.parse().unwrap();
            assert!(url.place().is_err(), "{text}");
            assert_eq!(url.name().unwrap(), "ab");
        }
        for text in ["gftp://0x00000000000000000000000000000000000000ab", "mailto:a"] {
            assert!(text.parse::<FileUrl>().unwrap().name().is_err(), "{text}");
        }
    }
}
