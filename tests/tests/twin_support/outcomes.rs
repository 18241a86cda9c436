//! What the plugin wrote down, and what differs between two runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// How every test of a run came out.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Outcomes {
    /// pytest's own exit status.
    pub(crate) exit: i32,
    /// Phase, outcome, node id, and why it did not pass.
    pub(crate) lines: Vec<(String, String, String, String)>,
}

/// How often a phase of a test came out in one way, with the last reason.
type Counted<'a> = BTreeMap<(&'a str, &'a str, &'a str), (usize, &'a str)>;

impl Outcomes {
    /// What the plugin left in the folder; `None` if it left nothing.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = fs_err::read_to_string(folder.join("twin-outcomes.json")).ok()?;
        Some(serde_json::from_str(&text).expect("the plugin's JSON"))
    }

    /// How many tests passed.
    pub(crate) fn passed(&self) -> usize {
        self.lines.iter().filter(|(phase, outcome, ..)| phase == "call" && outcome == "passed").count()
    }

    /// Every phase that did not come out the same here and there: node id, and one line of text.
    pub(crate) fn differences(&self, boxed: &Self) -> Vec<(String, String)> {
        let (here, there) = (self.counted(), boxed.counted());
        let only = |word: &str, these: &Counted<'_>, others: &Counted<'_>| -> Vec<(String, String)> {
            let missing = these.iter().filter(|(key, (count, _))| others.get(key).is_none_or(|(n, _)| n != count));
            let line = |((id, phase, outcome), (n, why)): (&(&str, &str, &str), &(usize, &str))| {
                ((*id).to_owned(), format!("{word} {n}x: {id} {phase} {outcome} {why}"))
            };
            missing.map(line).collect()
        };
        let mut differences = only("plain", &here, &there);
        differences.extend(only("boxed", &there, &here));
        differences
    }

    fn counted(&self) -> Counted<'_> {
        let mut counted = Counted::new();
        for (phase, outcome, id, why) in &self.lines {
            let entry = counted.entry((id, phase, outcome)).or_default();
            *entry = (entry.0 + 1, why);
        }
        counted
    }
}
