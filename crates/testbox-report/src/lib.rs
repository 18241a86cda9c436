//! One record, many readers: terminal, JSON, JUnit XML, journal. Reports read records and events, never processes or cgroups.
//!
//! Read in this order: [`OutputFilter`] makes the command's own output harmless; [`Terminal`] tells the user what is
//! enforced and what happened; [`to_json`] is the machine's view of the same; [`ReportDir`] keeps it on disk, all or
//! nothing; [`journal_line`] reads the journal of a run that may still go on.

mod exit_codes;
mod harmless;
mod journal_lines;
mod json;
mod junit;
mod output_filter;
mod report_dir;
mod terminal;
mod told;

pub use exit_codes::{exit_code_table, exit_code_table_markdown};
pub use harmless::one_line;
pub use journal_lines::{Introduction, journal_line};
pub use json::{SCHEMA, to_json, write_json};
pub use output_filter::{Leftover, OutputFilter};
pub use report_dir::{ReportDir, ReportError};
pub use terminal::{Style, Terminal};

#[cfg(test)]
#[path = "../tests/sample/mod.rs"]
mod sample;
