//! The command line of xtask; the options of each subcommand stand in its own file.

use clap::{Parser, Subcommand};

use crate::{bench, demo, dist, guest, setup, stats, test};

/// Automation of this project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// The subcommands, in the order in which a newcomer needs them.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Show the main job: runaway tests of a sample project, contained and explained
    ///
    /// Installs what it needs, builds testbox, runs each runaway test of tests/fixtures/sample in a box with small limits,
    /// and compares what came out with what must come out. Ends with 0 only if every expectation held.
    Demo(demo::Options),
    /// Install what demo, test and bench need; what is there already is left alone
    ///
    /// As root on Debian and its descendants missing programs are installed by apt-get; otherwise they are named. Python
    /// environments and source archives of the twin projects are kept under target/xtask/. pip is used with the settings
    /// that it finds (PIP_* variables, pip.conf).
    Setup(setup::Options),
    /// Run every check and test; what CI runs
    ///
    /// Prints one line for each part, the output of a part only if it failed, and at the end the reasons of all skips
    /// and the line `N passed, N failed, N skipped`.
    Test(test::Options),
    /// Measure testbox beside bubblewrap, runc and plain pytest
    ///
    /// Runs are paired and interleaved; printed are medians, ratios and the middle half of the ratios, each with the bound
    /// that it must keep. Use `cargo xtask setup` first.
    Bench(bench::Options),
    /// Run a command in a throw-away Debian with systemd and cgroup v2, testbox inside
    ///
    /// Needs no hardware virtualisation. The image is made from Debian's packages (as root, a minute) and kept under
    /// target/xtask/. In the guest `testbox` is in PATH, `testbox-test NAME` runs a file of its tests, the sample
    /// project lies in /opt/testbox/checkout/tests/fixtures/sample and its environment in /opt/testbox/venv.
    /// Ends with the command's exit code; 124 if it took too long, 125 if the guest itself failed.
    Guest(guest::Options),
    /// Print the shape of this code base: lengths of functions and files, unsafe blocks, error messages, dependencies
    Stats(stats::Options),
    /// Build what users get: the static binary, on demand a Debian package and a wheel, and their checksums
    Dist(dist::Options),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
