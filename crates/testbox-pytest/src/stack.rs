//! faulthandler's dump as calls: `file:line in function`, the innermost first, up to the test.

use std::path::Path;

/// Calls kept of a dump.
const MAX_CALLS: usize = 64;
/// Parts of paths below which no test is written: where these begin, the test's own calls end.
const RUNNER: [&str; 3] = ["/_pytest/", "/pluggy/", "/unittest/"];

/// The calls of the thread that runs the tests, from a dump of all threads (faulthandler, "dump_traceback"). Files are
/// named as seen from the project.
///
/// A memory dump is taken in the middle of an allocation, so the text may end anywhere: what is whole counts.
pub fn calls(dump: &str, project: &Path) -> Vec<String> {
    let threads = threads(dump);
    let of_tests = threads.iter().find(|calls| calls.iter().any(|call| is_runner(&call.file)));
    let Some(calls) = of_tests.or_else(|| threads.first()) else { return Vec::new() };
    let own = calls.iter().position(|call| is_runner(&call.file)).unwrap_or(calls.len());
    // Inside of pytest itself (collection, fixtures) there is nothing but the runner: then all of it is told.
    let shown = if own == 0 { calls.len() } else { own };
    calls.iter().take(shown.min(MAX_CALLS)).map(|call| call.seen_from(project)).collect()
}

struct Call {
    file: String,
    line: u32,
    function: String,
}

impl Call {
    fn seen_from(&self, project: &Path) -> String {
        let inside = project.to_str().and_then(|project| self.file.strip_prefix(project)?.strip_prefix('/'));
        format!("{}:{} in {}", inside.unwrap_or(&self.file), self.line, self.function)
    }
}

/// The last dump of the text, thread by thread. A later dump begins with a head for a thread that was there before.
fn threads(dump: &str) -> Vec<Vec<Call>> {
    let mut threads: Vec<Vec<Call>> = Vec::new();
    for line in dump.split_inclusive('\n') {
        if line.contains("(most recent call first)") {
            threads.push(Vec::new());
        } else if let (Some(call), Some(thread)) = (call(line), threads.last_mut()) {
            thread.push(call);
        }
    }
    threads.retain(|calls| !calls.is_empty());
    threads
}

/// `  File "/p/test_x.py", line 3 in spin`, whole with its newline.
fn call(line: &str) -> Option<Call> {
    let rest = line.strip_suffix('\n')?.strip_prefix("  File \"")?;
    let (file, rest) = rest.rsplit_once("\", line ")?;
    let (line, function) = rest.split_once(" in ")?;
    Some(Call { file: file.to_owned(), line: line.parse().ok()?, function: function.to_owned() })
}

fn is_runner(file: &str) -> bool {
    RUNNER.iter().any(|part| file.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "Thread 0x00007f1 (most recent call first):\n  File \"/usr/lib/python3.11/threading.py\", line 320 in wait\n\
        \nCurrent thread 0x00007f2 [pytest] (most recent call first):\n  File \"/p/data.py\", line 41 in load\n  \
        File \"/p/tests/test_io.py\", line 7 in test_big\n  File \"/v/site-packages/_pytest/python.py\", line 166 in pytest_pyfunc_call\n";

    #[test]
    fn the_chain_goes_from_the_innermost_call_to_the_test() {
        let expected = ["/p/data.py:41 in load", "/p/tests/test_io.py:7 in test_big"];
        assert_eq!(calls(DUMP, Path::new("/elsewhere")), expected);
    }

    #[test]
    fn files_are_named_as_seen_from_the_project() {
        assert_eq!(calls(DUMP, Path::new("/p")), ["data.py:41 in load", "tests/test_io.py:7 in test_big"]);
        assert_eq!(calls(DUMP, Path::new("/p/tes"))[1], "/p/tests/test_io.py:7 in test_big");
    }

    #[test]
    fn a_dump_that_ends_anywhere_gives_what_is_whole() {
        for end in 0..DUMP.len() {
            let calls = calls(&DUMP[..end], Path::new("/p"));
            assert!(calls.len() <= 2, "{calls:?}");
        }
        assert!(calls("no dump at all\n  File \"x\", line y in z\n", Path::new("/p")).is_empty());
    }

    #[test]
    fn inside_of_the_runner_all_of_it_is_told() {
        let dump = "Current thread 0x1 (most recent call first):\n  File \"/v/_pytest/main.py\", line 1 in collect\n";
        assert_eq!(calls(dump, Path::new("/p")), ["/v/_pytest/main.py:1 in collect"]);
    }
}
