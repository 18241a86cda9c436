//! The journal as people read it. Whoever may write to the report folder may have written these lines: nothing in them
//! is believed, all of it is spelled out in one line each.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use testbox_model::{Duration, RunPlan};

use crate::harmless::{one_line, short_line};

/// The event of [`Introduction`].
const EVENT: &str = "run";
/// Characters of one value that are shown.
const SHOWN: usize = 400;

/// Which run a journal is of; its second line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    event: String,
    /// The box: `testbox-<boot>-<pid>-<start>`.
    pub box_id: String,
    /// The project's folder.
    pub project: String,
    /// The command and its arguments.
    pub command: Vec<String>,
}

impl Introduction {
    pub(crate) fn of(box_id: &str, plan: &RunPlan) -> Self {
        Self {
            event: EVENT.to_owned(),
            box_id: box_id.to_owned(),
            project: plan.project.to_string_lossy().into_owned(),
            command: plan.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        }
    }

    /// The introduction that stands in this line of a journal; `None` if something else does.
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str::<Self>(line).ok().filter(|run| run.event == EVENT)
    }

    /// The command as one line.
    pub fn shown_command(&self) -> String {
        one_line(&self.command.join(" "))
    }
}

/// A line of the journal for people: when, what, and the details as `name=value`. Without a newline.
pub fn journal_line(line: &str) -> String {
    let Ok(Value::Object(mut event)) = serde_json::from_str(line) else {
        return format!("{:>10}  {:<10} {}", "", "unreadable", short_line(line, SHOWN));
    };
    let name = taken(&mut event, "event").and_then(|name| name.as_str().map(one_line)).unwrap_or_default();
    let time = taken(&mut event, "at_ms").and_then(|ms| ms.as_u64());
    let time = time.map(|ms| Duration::from_ms(ms).to_string()).unwrap_or_default();
    let mut details = Vec::new();
    for (name, value) in &event {
        tell(&one_line(name), value, &mut details);
    }
    format!("{time:>10}  {name:<10} {}", details.join(" ")).trim_end().to_owned()
}

fn taken(event: &mut Map<String, Value>, name: &str) -> Option<Value> {
    event.remove(name)
}

/// `name=value`; what is in an object gets the names of both.
fn tell(name: &str, value: &Value, details: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                tell(&format!("{name}.{}", one_line(field)), value, details);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            details.push(format!("{name}={}", word(&words.join(" "))));
        }
        Value::String(text) => details.push(format!("{name}={}", word(text))),
        other => details.push(format!("{name}={}", short_line(&other.to_string(), SHOWN))),
    }
}

/// A text, in quotation marks if it would not end at the next blank otherwise.
fn word(text: &str) -> String {
    let line = short_line(text, SHOWN);
    if line.is_empty() || line.contains([' ', '"']) { format!("{line:?}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_time_name_and_details() {
        for (line, shown) in [
            (
                r#"{"event":"ended","payload":{"how":"exited","code":0},"at_ms":4035}"#,
                "     4.0 s  ended      payload.code=0 payload.how=exited",
            ),
            (r#"{"event":"warning","text":"it is \"late\""}"#, r#"            warning    text="it is \"late\"""#),
            (
                r#"{"event":"run","box_id":"testbox-0-1-2","command":["pytest","-q"],"x":null}"#,
                r#"            run        box_id=testbox-0-1-2 command="pytest -q""#,
            ),
            (r#"{"event":"killing","at_ms":7}"#, "      7 ms  killing"),
        ] {
            assert_eq!(journal_line(line), shown);
        }
    }

    #[test]
    fn hostile_lines_stay_one_harmless_line() {
        for line in [
            "\u{1b}[2J::error::x",
            "{\"event\":\"a\\u001b[2J\\nb\",\"\\u001b]0;x\\u0007\":\"\\u202e\",\"n\":{\"\\r\":[1,{}]}}",
            "[1,2]",
            "{}",
            "",
        ] {
            let shown = journal_line(line);
            assert!(!shown.chars().any(|c| c.is_control() || crate::harmless::is_bidi_control(c)), "{shown:?}");
        }
        assert!(journal_line(&format!(r#"{{"event":"x","y":"{}"}}"#, "a".repeat(9000))).len() < 500);
    }

    #[test]
    fn only_an_introduction_is_one() {
        let run = Introduction {
            event: EVENT.to_owned(),
            box_id: "testbox-0-1-2".to_owned(),
            project: "/p".to_owned(),
            command: vec!["py\x1btest".to_owned(), "-q".to_owned()],
        };
        let line = serde_json::to_string(&run).unwrap();
        assert_eq!(Introduction::read(&line), Some(run.clone()));
        assert_eq!(run.shown_command(), r"py\x1btest -q");
        for other in ["", "{}", r#"{"event":"begin","pid":1}"#, &line.replace("\"run\"", "\"ran\"")] {
            assert_eq!(Introduction::read(other), None, "{other}");
        }
    }
}
