//! How the tests of a pytest command are divided, limited and told.

use clap::Args;
use testbox_config::{Auto, Count, Isolation, Layer, OrNone, Typed, flag};
use testbox_model::{Duration, Size};

#[derive(Debug, Args)]
#[command(next_help_heading = "Tests of a pytest command")]
pub(super) struct TestOptions {
    /// Which tests share a worker process: session, file, test, a number of tests, or none
    ///
    /// A worker that is killed costs the test that it was running; the others go on in another one. With `session` all
    /// tests share one, with --jobs each worker takes file after file; after a kill the rest of its tests goes on file by
    /// file. With `none` pytest runs the tests itself. --test-memory asks for `test`, --file-memory for `file`. Example:
    /// --isolate file
    #[arg(long, value_name = "DIVISION", allow_hyphen_values = true)]
    isolate: Option<Typed<Isolation>>,

    /// Workers at once
    ///
    /// A worker waits until the box has the memory for it. Accepted are whole numbers from 1 to 64, and `auto`: as many as
    /// the box has CPUs. Example: -j auto
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    jobs: Option<Typed<Auto<Count>>>,

    /// Memory of each test's worker
    ///
    /// A test that needs more has failed; the others go on. Accepted are sizes from 16M to the memory limit, a share of
    /// this machine's memory like 10%, and `none`. Example: --test-memory 512M
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    test_memory: Option<Typed<OrNone<Size>>>,

    /// Memory of each file's worker
    ///
    /// Accepted are sizes from 16M to the memory limit, a share of this machine's memory like 25%, and `none`.
    /// Example: --file-memory 1G
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    file_memory: Option<Typed<OrNone<Size>>>,

    /// Wall time from pytest's start to the end of its collection
    ///
    /// Then the whole box is ended and testbox exits with 124. Accepted are durations up to --timeout, and `none`.
    /// Example: --collect-timeout 60s
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    collect_timeout: Option<Typed<OrNone<Duration>>>,

    /// Wall time of a test's setup and call together
    ///
    /// Then its worker is killed, whatever it is doing, and the test has failed; the others go on. The markers and settings
    /// of pytest-timeout are heeded as well. Accepted are durations up to --timeout, and `none`. Example: --test-timeout 30s
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    test_timeout: Option<Typed<OrNone<Duration>>>,

    /// Wall time of a test's teardown
    ///
    /// Then as with --test-timeout. Accepted are durations up to --timeout, and `none`. Example: --teardown-timeout 10s
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    teardown_timeout: Option<Typed<OrNone<Duration>>>,

    /// End the run after so many killed workers
    ///
    /// Accepted are whole numbers from 1. Example: --max-kills 1
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_kills: Option<Typed<Count>>,

    /// Try a test whose worker was killed again, alone, so many times
    ///
    /// The report tells the verdicts of all attempts. Accepted are whole numbers from 0 to 100. Example: --retry-killed 1
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    retry_killed: Option<Typed<Count>>,

    /// At the end show the N tests that used most memory
    ///
    /// Accepted are whole numbers from 0, which is no table, to 10000. Example: --memories 10
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    memories: Option<Typed<Count>>,
}

impl TestOptions {
    pub(super) fn fill(&self, layer: &mut Layer) {
        layer.isolate = flag("isolate", self.isolate.clone());
        layer.jobs = flag("jobs", self.jobs.clone());
        layer.test_memory = flag("test-memory", self.test_memory.clone());
        layer.file_memory = flag("file-memory", self.file_memory.clone());
        layer.collect_timeout = flag("collect-timeout", self.collect_timeout.clone());
        layer.test_timeout = flag("test-timeout", self.test_timeout.clone());
        layer.teardown_timeout = flag("teardown-timeout", self.teardown_timeout.clone());
        layer.max_kills = flag("max-kills", self.max_kills.clone());
        layer.retry_killed = flag("retry-killed", self.retry_killed.clone());
        layer.memories = flag("memories", self.memories.clone());
    }
}
