//! The table of exit codes as text, for help and README; its one source is [`ExitCode::TABLE`].

use testbox_model::ExitCode;

/// The table as plain text: one line a code, codes left-aligned.
pub fn exit_code_table() -> String {
    let width = ExitCode::TABLE.iter().map(|(code, _)| code.len()).max().unwrap_or(0);
    ExitCode::TABLE.iter().map(|(code, meaning)| format!("{code:width$}  {meaning}\n")).collect()
}

/// The same table in Markdown.
pub fn exit_code_table_markdown() -> String {
    let rows: String = ExitCode::TABLE.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")).collect();
    format!("| exit code | meaning |\n| --- | --- |\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_a_line_for_each_code() {
        let plain = exit_code_table();
        assert_eq!(plain.lines().count(), ExitCode::TABLE.len());
        assert!(plain.starts_with("0      the command (all tests) passed\n1      tests failed"), "{plain}");
        let markdown = exit_code_table_markdown();
        assert_eq!(markdown.lines().count(), ExitCode::TABLE.len() + 2);
        assert!(markdown.contains("| 124 | timeout: "), "{markdown}");
        assert!(markdown.lines().all(|line| line.matches('|').count() == 3), "no cell breaks the table");
    }
}
