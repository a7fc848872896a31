//! The keys a job file may have, and what to suggest for the others; the same for other files of ours.

/// The words of one kind of file.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    /// The kind of file, with its article.
    pub(crate) file: &'static str,
    /// Its sections and keys outside of any.
    pub(crate) top: &'static [&'static str],
    /// Sections with their keys, to tell where a key belongs that is right elsewhere.
    pub(crate) homes: &'static [(&'static str, &'static [&'static str])],
    /// Words people write for a key, by what they mean.
    pub(crate) other_words: &'static [(&'static str, &'static str)],
}

/// The words of a job file.
pub(super) const JOB: Vocabulary =
    Vocabulary { file: "a job file", top: TOP, homes: HOMES, other_words: OTHER_WORDS };

/// Sections of a job file.
pub(super) const TOP: &[&str] = &["payload", "tasks", "setup", "steps", "limits"];
/// Keys of `[payload]`.
pub(crate) const PAYLOAD: &[&str] = &[
    "image_hash",
    "image_tag",
    "image_url",
    "image_file",
    "manifest",
    "manifest_key",
    "manifest_signature",
    "manifest_certificate",
    "runtime",
    "min_mem_gib",
    "min_storage_gib",
    "min_cpu_threads",
    "min_cpu_cores",
    "capabilities",
    "gpu",
    "outbound",
    "disk",
    "volumes",
    "properties",
    "constraints",
    "providers",
    "exclude_providers",
    "keep_files",
];
/// Keys of `[tasks]`: each is a source.
pub(super) const TASKS: &[&str] = &["values", "range", "lines", "csv", "jsonl", "glob"];
/// Keys of a range of tasks.
pub(super) const RANGE: &[&str] = &["start", "end", "step"];
/// Actions of a step.
pub(super) const ACTIONS: &[&str] =
    &["run", "upload", "upload_json", "upload_text", "download", "download_json"];
/// Keys of a step.
pub(super) const STEP: &[&str] =
    &["run", "upload", "upload_json", "upload_text", "download", "download_json", "timeout"];
/// Keys of `[limits]`.
pub(super) const LIMITS: &[&str] = &[
    "task_timeout",
    "retries",
    "workers",
    "budget",
    "on_budget",
    "on_end",
    "notify",
    "max_price",
    "price_grace",
    "max_price_per_hour",
    "max_start_price",
    "expiration",
    "idle_timeout",
    "results",
    "halt",
    "give_up_on",
    "retry_on",
    "no_result_on",
    "stop_when",
];

/// Filters of templates beside those of every Jinja.
pub(super) const FILTERS: &[&str] = &["basename", "stem", "extension", "json", "shell"];

/// The sections where keys belong that are right elsewhere.
const HOMES: &[(&str, &[&str])] =
    &[("[payload]", PAYLOAD), ("[tasks]", TASKS), ("[limits]", LIMITS), ("[[steps]]", ACTIONS)];

/// Words people write for a key or a filter, by what they mean.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("args", "run"),
    ("cmd", "run"),
    ("command", "run"),
    ("concurrency", "workers"),
    ("cores", "min_cpu_cores"),
    ("cpus", "min_cpu_threads"),
    ("deadline", "expiration"),
    ("dst", "to"),
    ("exec", "run"),
    ("expires", "expiration"),
    ("ext", "extension"),
    ("filename", "basename"),
    ("files", "glob"),
    ("hash", "image_hash"),
    ("image", "image_tag"),
    ("init", "setup"),
    ("input", "from"),
    ("items", "values"),
    ("json", "jsonl"),
    ("list", "values"),
    ("max_workers", "workers"),
    ("mem", "min_mem_gib"),
    ("memory", "min_mem_gib"),
    ("output", "to"),
    ("package", "payload"),
    ("quote", "shell"),
    ("ram", "min_mem_gib"),
    ("script", "run"),
    ("shell", "run"),
    ("source", "from"),
    ("src", "from"),
    ("storage", "min_storage_gib"),
    ("stop", "end"),
    ("tag", "image_tag"),
    ("target", "to"),
    ("threads", "min_cpu_threads"),
    ("timeout", "task_timeout"),
    ("tojson", "json"),
    ("tries", "retries"),
    ("url", "image_url"),
];

impl Vocabulary {
    /// The mend for a key that `section` doesn't have and that is like none of its own.
    pub(crate) fn help_for_stranger(&self, key: &str, section: &str, known: &[&str]) -> String {
        if let Some((home, _)) =
            self.homes.iter().find(|(home, keys)| *home != section && keys.contains(&key))
        {
            return format!("`{key}` belongs in {home}");
        }
        format!("the keys here are {}", list(known, "and"))
    }

    /// The candidate that a mistyped or translated word most likely means.
    pub(crate) fn closest<'a>(
        &self,
        word: &str,
        candidates: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<&'a str> {
        let lower = word.to_lowercase().replace('-', "_");
        let meant = self.other_words.iter().find(|(other, _)| *other == lower).map(|(_, meant)| *meant);
        let is_meant = |candidate: &&str| *candidate == lower || Some(*candidate) == meant;
        if let Some(exact) = candidates.clone().find(is_meant) {
            return Some(exact);
        }
        candidates
            .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
            .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, candidate)| candidate)
    }
}

/// The closest of the words of a job file.
pub(super) fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    JOB.closest(word, candidates)
}

/// `a`, `b` or `c`.
pub(crate) fn list(words: &[&str], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_or_mean_the_same() {
        assert_eq!(closest("step", TOP.iter().copied()), Some("steps"));
        assert_eq!(closest("Image-Hash", PAYLOAD.iter().copied()), Some("image_hash"));
        assert_eq!(closest("worker", LIMITS.iter().copied()), Some("workers"));
        assert_eq!(closest("cmd", STEP.iter().copied()), Some("run"));
        assert_eq!(closest("timeout", LIMITS.iter().copied()), Some("task_timeout"));
        assert_eq!(closest("colour", LIMITS.iter().copied()), None);
    }

    #[test]
    fn a_key_of_another_section_is_sent_home() {
        assert_eq!(JOB.help_for_stranger("retries", "[tasks]", TASKS), "`retries` belongs in [limits]");
        assert_eq!(
            JOB.help_for_stranger("xyzzy", "`range`", RANGE),
            "the keys here are `start`, `end` and `step`"
        );
    }

    #[test]
    fn every_other_word_leads_to_a_key_that_exists() {
        for (word, meant) in OTHER_WORDS {
            let known = [TOP, PAYLOAD, TASKS, RANGE, STEP, LIMITS, FILTERS, &["from", "to", "data", "text"]];
            assert!(known.iter().any(|keys| keys.contains(meant)), "{word} -> {meant}");
        }
    }
}
