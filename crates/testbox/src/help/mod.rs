//! Topics of `testbox help`: texts that belong to no single flag, generated where the data has a home elsewhere.

mod exit_codes;
mod limits;
mod policy;

/// The topics, as typed.
pub(crate) const TOPICS: [&str; 3] = ["exit-codes", "limits", "policy"];

/// The text of a topic; `policy` takes the name of a policy as a second word. `None` where there is no such topic.
pub(crate) fn topic(words: &[&str]) -> Option<String> {
    match words {
        ["exit-codes"] => Some(exit_codes::text()),
        ["limits"] => Some(limits::text()),
        ["policy"] => policy::text("default"),
        ["policy", name] => policy::text(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_text() {
        for name in TOPICS {
            assert!(topic(&[name]).unwrap().len() > 200, "{name}");
        }
        assert!(topic(&["policy", "strict"]).unwrap().contains("policy `strict`"));
        assert_eq!(topic(&["policy", "nope"]), None);
        assert_eq!(topic(&[]), None);
    }
}
