//! Files that match a pattern. Names are compared as they are, whatever their bytes: one that isn't text hinders nobody
//! unless it matches.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf, is_separator};

use glob::{MatchOptions, Pattern};

use super::SourceError;

/// Hidden names match only where the pattern begins with a dot too.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that match a pattern, sorted by path; folders and hidden files are left out.
///
/// Relative patterns start at `folder`, and what they find is relative to it again.
pub(in crate::job) fn glob_files(pattern: &str, folder: &Path) -> Result<Vec<String>, SourceError> {
    let invalid = |error| SourceError::Search {
        path: PathBuf::from(pattern),
        source: io::Error::new(ErrorKind::InvalidInput, error),
    };
    // The whole pattern tells best what is wrong with it.
    Pattern::new(pattern).map_err(invalid)?;
    let root: PathBuf = Path::new(pattern)
        .ancestors()
        .last()
        .filter(|root| root.has_root())
        .map(Path::to_owned)
        .unwrap_or_default();
    let rest = &pattern[root.as_os_str().len().min(pattern.len())..];
    let mut parts = Vec::new();
    for part in rest.split(is_separator).filter(|part| !part.is_empty() && *part != ".") {
        parts.push(match part {
            "**" if matches!(parts.last(), Some(Part::AnyDepth)) => continue,
            "**" => Part::AnyDepth,
            part if part.contains(['*', '?', '[']) => Part::Pattern(Pattern::new(part).map_err(invalid)?),
            part => Part::Name(part),
        });
    }
    let mut search = Search { folder, found: Vec::new(), above: Vec::new() };
    search.look(&root, &parts)?;
    let mut files = search.found;
    files.sort_unstable();
    // Two ways may lead to one file: `**/a/**/b`.
    files.dedup();
    Ok(files)
}

/// The part of a pattern between two separators.
enum Part<'p> {
    Name(&'p str),
    Pattern(Pattern),
    /// `**`
    AnyDepth,
}

struct Search<'f> {
    folder: &'f Path,
    found: Vec<String>,
    /// The folders that `**` is in, so that links among them don't lead round in circles.
    above: Vec<PathBuf>,
}

impl Search<'_> {
    /// Finds what matches `parts` below a path, which is as it will be shown.
    fn look(&mut self, shown: &Path, parts: &[Part<'_>]) -> Result<(), SourceError> {
        let Some((part, rest)) = parts.split_first() else { return Ok(()) };
        match part {
            Part::Name(name) => self.step(&shown.join(name), rest),
            Part::Pattern(pattern) => {
                for name in self.names(shown)? {
                    if pattern.matches_with(&name.to_string_lossy(), OPTIONS) {
                        self.step(&shown.join(name), rest)?;
                    }
                }
                Ok(())
            }
            Part::AnyDepth => self.look_at_any_depth(shown, parts, rest),
        }
    }

    fn look_at_any_depth(
        &mut self,
        shown: &Path,
        parts: &[Part<'_>],
        rest: &[Part<'_>],
    ) -> Result<(), SourceError> {
        let Ok(real) = fs::canonicalize(self.real(shown)) else { return Ok(()) };
        if self.above.contains(&real) {
            return Ok(());
        }
        self.above.push(real);
        self.look(shown, rest)?;
        for name in self.names(shown)? {
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let below = shown.join(name);
            if self.real(&below).is_dir() {
                self.look(&below, parts)?;
            } else if rest.is_empty() {
                self.step(&below, rest)?;
            }
        }
        self.above.pop();
        Ok(())
    }

    /// Takes a file where the pattern ends, and goes on in a folder where it doesn't.
    fn step(&mut self, shown: &Path, rest: &[Part<'_>]) -> Result<(), SourceError> {
        if !rest.is_empty() {
            return self.look(shown, rest);
        }
        if self.real(shown).is_file() {
            match shown.to_str() {
                Some(text) => self.found.push(text.to_owned()),
                None => return Err(SourceError::FileName { path: self.real(shown) }),
            }
        }
        Ok(())
    }

    fn real(&self, shown: &Path) -> PathBuf {
        self.folder.join(shown)
    }

    /// The names in a folder; none where there is no such folder.
    fn names(&self, shown: &Path) -> Result<Vec<OsString>, SourceError> {
        let real = self.real(shown);
        let real = if real.as_os_str().is_empty() { PathBuf::from(".") } else { real };
        let failed = |source| SourceError::Search { path: real.clone(), source };
        let entries = match fs::read_dir(&real) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(error)),
        };
        entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(failed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn patterns_find_what_they_say() {
        let folder = tree(&[
            "a.png",
            "b.png",
            "é.png",
            ".hidden.png",
            "a.txt",
            "x[1].txt",
            "{a,b}.txt",
            "in/a.png",
            "in/deep/b.png",
            "in/deep/er/c.png",
            "in/.git/d.png",
            "a.png.d/x",
        ]);
        for (pattern, found) in [
            ("*.png", vec!["a.png", "b.png", "é.png"]),
            ("./*.png", vec!["a.png", "b.png", "é.png"]),
            ("?.png", vec!["a.png", "b.png", "é.png"]),
            ("[!a].png", vec!["b.png", "é.png"]),
            (".*", vec![".hidden.png"]),
            ("a.png", vec!["a.png"]),
            ("in", vec![]),
            ("*", vec!["a.png", "a.txt", "b.png", "x[1].txt", "{a,b}.txt", "é.png"]),
            ("x[[]1].txt", vec!["x[1].txt"]),
            ("{a,b}.*", vec!["{a,b}.txt"]),
            ("in/*.png", vec!["in/a.png"]),
            ("*/*.png", vec!["in/a.png"]),
            ("in/**/*.png", vec!["in/a.png", "in/deep/b.png", "in/deep/er/c.png"]),
            ("**/**/c.png", vec!["in/deep/er/c.png"]),
            ("in/**/er/**/c.png", vec!["in/deep/er/c.png"]),
            ("in/deep/**", vec!["in/deep/b.png", "in/deep/er/c.png"]),
            ("in/../a.*", vec!["in/../a.png", "in/../a.txt"]),
            ("nowhere/*", vec![]),
            ("a.txt/*", vec![]),
        ] {
            assert_eq!(glob_files(pattern, folder.path()).unwrap(), found, "{pattern}");
            // The same from the root on.
            let whole = folder.path().join(pattern);
            let all: Vec<_> =
                found.iter().map(|file| folder.path().join(file).to_str().unwrap().to_owned()).collect();
            if !pattern.starts_with("./") {
                assert_eq!(
                    glob_files(whole.to_str().unwrap(), Path::new("elsewhere")).unwrap(),
                    all,
                    "{pattern}"
                );
            }
        }
        assert!(matches!(glob_files("a***", folder.path()), Err(SourceError::Search { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_hinders_only_a_pattern_that_it_matches() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tree(&["a.png", "sub/b.png"]);
        let odd = |bytes: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(bytes));
        fs::write(odd(b"caf\xe9.txt"), "").unwrap();
        fs::create_dir(odd(b"dir\xff")).unwrap();
        fs::write(odd(b"dir\xff/c.png"), "").unwrap();
        assert_eq!(glob_files("*.png", folder.path()).unwrap(), ["a.png"]);
        assert_eq!(glob_files("s*/*.png", folder.path()).unwrap(), ["sub/b.png"]);
        // As a folder of the job it is of no matter.
        assert_eq!(glob_files("*.png", &odd(b"dir\xff")).unwrap(), ["c.png"]);
        for (pattern, named) in
            [("*.txt", "caf\\xE9.txt"), ("caf?.*", "caf\\xE9.txt"), ("**/*.png", "dir\\xFF/c.png")]
        {
            let told = glob_files(pattern, folder.path()).unwrap_err().to_string();
            assert!(told.contains(named) && told.contains("not UTF-8"), "{pattern}: {told}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_lead_round_no_circles() {
        let folder = tree(&["in/a.png", "other/b.png"]);
        std::os::unix::fs::symlink("..", folder.path().join("in/up")).unwrap();
        std::os::unix::fs::symlink("../other", folder.path().join("in/link")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("in/broken.png")).unwrap();
        assert_eq!(glob_files("in/*.png", folder.path()).unwrap(), ["in/a.png"]);
        assert_eq!(glob_files("in/link/*.png", folder.path()).unwrap(), ["in/link/b.png"]);
        let all = glob_files("in/**/*.png", folder.path()).unwrap();
        assert!(all.contains(&"in/link/b.png".to_owned()) && all.len() < 10, "{all:?}");
    }
}
