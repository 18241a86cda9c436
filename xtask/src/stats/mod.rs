//! `cargo xtask stats`: the shape of this code base in numbers, by a parser; `test` keeps the thresholds.

mod lengths;
pub(crate) mod source;

use std::collections::BTreeMap;

use crate::error::Error;
use crate::stats::lengths::Lengths;
use crate::stats::source::{Kind, Source};
use crate::test::dependencies::Lock;
use crate::workspace::Workspace;

const MAX_MEDIAN_FUNCTION: usize = 10;
const MAX_P90_FUNCTION: usize = 35;
const MAX_FUNCTION: usize = 100;
const MAX_FILE: usize = 1000;
const MIN_DATA_PERCENT: usize = 80;

/// Options of `stats`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name the longest functions and files as well
    #[arg(long)]
    longest: bool,
}

/// Everything measured.
pub(crate) struct Stats {
    sources: Vec<Source>,
    packages: usize,
    duplicates: Vec<String>,
}

/// Measures and prints.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    let stats = measure(workspace)?;
    stats.print_table();
    stats.print_totals();
    if options.longest {
        stats.print_longest();
    }
    for complaint in stats.complaints() {
        println!("over the threshold: {complaint}");
    }
    Ok(())
}

/// Reads all sources and the lock file.
pub(crate) fn measure(workspace: &Workspace) -> Result<Stats, Error> {
    let lock = Lock::read(&workspace.root)?;
    let duplicates = lock.duplicates().into_iter().map(str::to_owned).collect();
    Ok(Stats { sources: source::all(workspace)?, packages: lock.len(), duplicates })
}

impl Stats {
    /// What is over a threshold, each with its place.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let functions = self.functions(|source| source.kind == Kind::Code);
        let mut complaints = vec![];
        if functions.median() > MAX_MEDIAN_FUNCTION {
            complaints
                .push(format!("the median function has {} lines, more than {MAX_MEDIAN_FUNCTION}", functions.median()));
        }
        if functions.percentile(90) > MAX_P90_FUNCTION {
            let p90 = functions.percentile(90);
            complaints.push(format!("one function in ten has {p90} lines or more, more than {MAX_P90_FUNCTION}"));
        }
        for source in &self.sources {
            let long = source.functions.iter().filter(|function| function.lines > MAX_FUNCTION);
            complaints.extend(long.map(|function| {
                format!(
                    "{}:{}: `{}` has {} lines, more than {MAX_FUNCTION}",
                    source.path, function.at, function.name, function.lines
                )
            }));
            if source.lines > MAX_FILE {
                complaints.push(format!("{} has {} lines, more than {MAX_FILE}", source.path, source.lines));
            }
        }
        let (with_data, messages) = self.messages();
        if with_data * 100 < messages * MIN_DATA_PERCENT {
            complaints
                .push(format!("{with_data} of {messages} error messages carry data, less than {MIN_DATA_PERCENT} %"));
        }
        complaints
    }

    fn functions(&self, chosen: impl Fn(&Source) -> bool) -> Lengths {
        let sources = self.sources.iter().filter(|source| chosen(source));
        Lengths::new(sources.flat_map(|source| source.functions.iter().map(|function| function.lines)))
    }

    /// Error messages that carry data, and all.
    fn messages(&self) -> (usize, usize) {
        let all = self.sources.iter().flat_map(|source| &source.messages);
        (all.clone().filter(|message| message.contains('{')).count(), all.count())
    }

    fn print_table(&self) {
        println!(
            "{:<20} {:>9} {:>6} {:>4} {:>4}   {:>5} {:>6} {:>5}   {:>6}",
            "", "functions", "median", "p90", "max", "files", "median", "max", "lines"
        );
        let mut rows: BTreeMap<(Kind, &str), Vec<&Source>> = BTreeMap::new();
        for source in &self.sources {
            rows.entry((source.kind, source.package.as_str())).or_default().push(source);
        }
        for ((kind, package), sources) in &rows {
            let name = if *kind == Kind::Test { format!("{package} (tests)") } else { (*package).to_owned() };
            print_row(&name, sources);
        }
        print_row("all code", &self.sources.iter().filter(|source| source.kind == Kind::Code).collect::<Vec<_>>());
        print_row("all tests", &self.sources.iter().filter(|source| source.kind == Kind::Test).collect::<Vec<_>>());
    }

    fn print_totals(&self) {
        let (with_data, messages) = self.messages();
        let blocks: usize = self.sources.iter().map(|source| source.unsafe_lines.len()).sum();
        println!("\nunsafe places          {blocks}");
        println!("error messages         {messages}, {with_data} carry data ({} %)", with_data * 100 / messages.max(1));
        println!("packages in Cargo.lock {}", self.packages);
        println!("in several versions    {} ({})", self.duplicates.len(), self.duplicates.join(", "));
    }

    fn print_longest(&self) {
        let mut functions: Vec<_> =
            self.sources.iter().flat_map(|s| s.functions.iter().map(move |f| (f.lines, s, f))).collect();
        functions.sort_by_key(|(lines, ..)| std::cmp::Reverse(*lines));
        println!("\nlongest functions");
        for (lines, source, function) in functions.iter().take(10) {
            println!("{lines:>5}  {}:{} {}", source.path, function.at, function.name);
        }
        let mut files: Vec<&Source> = self.sources.iter().collect();
        files.sort_by_key(|source| std::cmp::Reverse(source.lines));
        println!("\nlongest files");
        files.iter().take(10).for_each(|source| println!("{:>5}  {}", source.lines, source.path));
    }
}

fn print_row(name: &str, sources: &[&Source]) {
    let functions =
        Lengths::new(sources.iter().flat_map(|source| source.functions.iter().map(|function| function.lines)));
    let files = Lengths::new(sources.iter().map(|source| source.lines));
    println!(
        "{name:<20} {:>9} {:>6} {:>4} {:>4}   {:>5} {:>6} {:>5}   {:>6}",
        functions.count(),
        functions.median(),
        functions.percentile(90),
        functions.max(),
        files.count(),
        files.median(),
        files.max(),
        files.sum(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_threshold_is_named_with_its_place() {
        let long = format!("fn long() {{\n{}}}\n", "    f();\n".repeat(101));
        let messages = "#[derive(Error)] enum E { #[error(\"no data\")] A, #[error(\"{0}\")] B }";
        let source = source::parse("crates/x/src/a.rs", &format!("{long}{messages}")).unwrap();
        let stats = Stats { sources: vec![source], packages: 1, duplicates: vec![] };
        let complaints = stats.complaints().join("\n");
        assert!(complaints.contains("crates/x/src/a.rs:1: `long` has 101 lines"), "{complaints}");
        assert!(complaints.contains("1 of 2 error messages"), "{complaints}");
    }
}
