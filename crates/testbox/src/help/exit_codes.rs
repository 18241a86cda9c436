//! `testbox help exit-codes`: the one table of exit codes, as text.

use testbox_model::ExitCode;

pub(super) fn text() -> String {
    let rows: String = ExitCode::TABLE.iter().map(|(code, meaning)| format!("  {code:<6} {meaning}\n")).collect();
    format!("Exit codes of `testbox run`\n\n{rows}\n{NOTE}")
}

const NOTE: &str = "\
A command may use any code itself: the JSON report names the verdict unambiguously (`verdict`). A wrong flag is a
usage error, exit code 2, and nothing is started.
";

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_of_the_table_is_there() {
        let text = super::text();
        for (code, meaning) in testbox_model::ExitCode::TABLE {
            assert!(text.contains(&format!("  {code:<6} {meaning}\n")), "{code}");
        }
    }
}
