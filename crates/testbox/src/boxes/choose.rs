//! Which boxes are meant by what was typed.

use testbox_model::Fault;

use super::{Seen, short};
use crate::fault;

/// A shorter beginning of a name could be meant for anything.
const SHORTEST: usize = 4;

/// The one box that `typed` names: a pid, or the beginning of a name, `PID-START` or `testbox-<boot>-PID-START`, of at
/// least four characters.
///
/// # Errors
/// None or several begin so; the message lists them.
pub(crate) fn choose<'a>(boxes: &'a [Seen], typed: &str) -> Result<&'a Seen, Box<Fault>> {
    let by_pid = boxes.iter().filter(|seen| seen.id.pid.to_string() == typed);
    let begins = |seen: &&Seen| short(&seen.id).starts_with(typed) || seen.id.to_string().starts_with(typed);
    let mut matching: Vec<&Seen> = by_pid.collect();
    if matching.is_empty() && typed.len() >= SHORTEST {
        matching = boxes.iter().filter(begins).collect();
    }
    match matching[..] {
        [one] => Ok(one),
        [] => Err(fault::plain(
            format!("no box `{}` is here", testbox_report::one_line(typed)),
            "`testbox ps` lists the boxes of this user",
        )),
        _ => {
            let names = matching.iter().map(|seen| seen.short_id()).collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is the beginning of several boxes: {names}", testbox_report::one_line(typed));
            Err(fault::plain(message, "type more of the one that you mean"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxes::State;

    fn boxes(names: &[&str]) -> Vec<Seen> {
        let seen = |name: &&str| Seen { id: name.parse().unwrap(), uid: 0, state: State::Running, group: None };
        names.iter().map(seen).collect()
    }

    #[test]
    fn a_pid_or_a_unique_beginning_names_one() {
        let boxes = boxes(&["testbox-97b45cbc-14-100", "testbox-97b45cbc-146-200", "testbox-97b45cbc-7712-300"]);
        for (typed, pid) in [("14", 14), ("146", 146), ("14-1", 14), ("7712-", 7712), ("testbox-97b45cbc-77", 7712)] {
            assert_eq!(choose(&boxes, typed).unwrap().id.pid, pid, "{typed}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        let boxes = boxes(&["testbox-97b45cbc-14-100", "testbox-97b45cbc-146-200"]);
        for typed in ["", "1", "6", "14-", "146-2000000", "14-101", "-", "*", "testbox-00000000", "\x1b[2J"] {
            let error = choose(&boxes, typed).unwrap_err();
            assert!(error.message.starts_with("no box `"), "{error:?}");
            assert!(!error.message.contains('\x1b'), "{error:?}");
        }
        let error = choose(&boxes, "testbox-").unwrap_err();
        assert_eq!(error.message, "`testbox-` is the beginning of several boxes: 14-100, 146-200");
    }
}
