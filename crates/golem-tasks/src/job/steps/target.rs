//! The target of a download, word by word: text of the job file is trusted, text of a task isn't.

use std::path::is_separator;

use crate::job::template::MARK;

/// True if inserted text leads a path out of the folder that it starts in.
///
/// Whatever the job file itself says, `..` or a path from the root, is where its author wants to go; from there on,
/// inserted text may only lead down.
pub(super) fn leads_out(marked: &str) -> bool {
    // The depth below the start, and the number of levels that inserted text may go up.
    let (mut depth, mut floor) = (0_i64, 0_i64);
    let mut inserted = false;
    let mut any_inserted = false;
    for (place, part) in marked.split(is_separator).enumerate() {
        let marks = part.matches(MARK).count();
        let by_task = inserted || marks > 0;
        inserted ^= marks % 2 == 1;
        let name = part.replace(MARK, "");
        if by_task && !any_inserted {
            any_inserted = true;
            // The author has left the job's folder, so the folder meant is the one named last.
            if floor < 0 {
                floor = depth;
            }
        }
        match name.as_str() {
            "" if place == 0 && is_rooted(marked) => {
                if by_task {
                    return true;
                }
                floor = -1;
            }
            "" | "." => {}
            ".." => {
                depth -= 1;
                if !by_task {
                    floor = floor.min(depth);
                } else if depth < floor {
                    return true;
                }
            }
            _ if place == 0 && by_task && has_drive(&name) => return true,
            _ => depth += 1,
        }
    }
    false
}

/// True if it begins with a separator.
fn is_rooted(marked: &str) -> bool {
    marked.trim_start_matches(MARK).starts_with(is_separator)
}

/// True if it begins with a drive's letter, where there are drives.
fn has_drive(name: &str) -> bool {
    cfg!(windows) && name.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_inserted_can_lead_out() {
        // Inserted text stands in brackets.
        for (path, out) in [
            ("out/[a]", false),
            ("out/[a/b]", false),
            ("out/[a/../b]", false),
            ("out/[../b]", false),
            ("out/[../../b]", true),
            ("out/[a/../../../b]", true),
            ("[..]/b", true),
            ("out/.[./../b]", true),
            ("out/[.][.]/[..]/b", true),
            ("[/etc/passwd]", true),
            ("[]/[etc]", true),
            ("out/[/etc/passwd]", false),
            ("../out/[a]", false),
            ("../out/[../a]", true),
            ("../[a].txt", false),
            ("/data/out/[a]", false),
            ("/data/out/[../a]", true),
            ("[a]/../b", false),
            ("[a]/../../b", false),
            ("[a]/../../b/[../../c]", true),
            ("out/[..a..]", false),
        ] {
            let marked = path.replace(['[', ']'], &MARK.to_string());
            assert_eq!(leads_out(&marked), out, "{path}");
        }
    }
}
