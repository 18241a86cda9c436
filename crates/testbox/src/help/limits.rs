//! `testbox help limits`: what is limited, how, and what happens then.

/// Each key of a limit with what it bounds, by what means, and what follows.
const LIMITS: [(&str, &str); 17] = [
    (
        "memory",
        "What the whole box uses: processes, scratch space, page cache. A cgroup counts what is in use, not what is merely \
         reserved: importing large libraries costs what it costs and no more. At the limit the kernel first reclaims page \
         cache, then kills in the box (120). The report names the peak and the largest processes.",
    ),
    ("swap", "Swap that the box may use on top. With none a suite that needs too much ends instead of crawling."),
    (
        "pids",
        "Processes and threads of the box. Beyond it fork and pthread_create fail; if the command fails then, 121.",
    ),
    ("cpus", "CPU time per wall time. Beyond it the box is slowed down, never killed; the report says for how long."),
    ("nofile", "Open files of each process. Beyond it open and socket fail."),
    ("io-read", "Bytes per second that the box reads from the project's device. Beyond it reads are slowed down."),
    ("io-write", "The same for writes. Where the kernel cannot slow down buffered writes, the report says so."),
    (
        "tmp-size",
        "One bounded tmpfs for /tmp, HOME and the written layer of the project (or a copy of it, where the kernel refuses an \
         overlay), with a bounded number of files; /dev/shm has the same size again. Both are charged to memory. Beyond it \
         writes fail; if the command fails then, 122.",
    ),
    ("output-limit", "Bytes on stdout and stderr together. Beyond it the run is ended (123)."),
    ("fsize", "Bytes of one file. Beyond it the writer gets SIGXFSZ (122)."),
    ("timeout", "Wall time of the run. Then SIGTERM, and after `grace` the kernel kills everything in the box (124)."),
    ("idle-timeout", "Time in which the box prints nothing and uses no CPU. Then as with timeout (124)."),
    (
        "test-memory",
        "Memory of the worker of each test of a pytest command, whatever it forks. Beyond it the kernel kills in the worker; \
         the test has failed, with its peak and the line that it was in, and the others go on. Asks for `--isolate test`.",
    ),
    ("file-memory", "The same for the worker of each file. Asks for `--isolate file`."),
    (
        "test-timeout",
        "Wall time of each test's setup and call. Then its worker is killed, whatever it is doing; the test has failed, with \
         the line that it was in, and the others go on.",
    ),
    ("teardown-timeout", "The same for each test's teardown."),
    (
        "collect-timeout",
        "Wall time from pytest's start to the end of its collection. Then as with timeout (124), with what was imported.",
    ),
];

/// What `--allow-degraded` accepts for each wall that has a weaker form.
const WEAKER: [(&str, &str); 4] = [
    ("memory", "testbox looks every 50 ms at what the processes use, and ends the run above the limit (120)."),
    ("pids", "RLIMIT_NPROC, and testbox looks every 50 ms (121)."),
    ("cpu, io", "Not limited."),
    (
        "namespaces",
        "Only where the kernel refuses namespaces, and has Landlock of Linux 6.2 or later. The walls namespaces, disk and \
         network are weaker then. The command reads what a box shows and writes to a fresh folder below TMPDIR (its HOME and \
         TMPDIR), `--rw` paths and /dev/shm, which is the host's; /tmp is closed. The project is read-only; with `--write` \
         what is in it can be changed, and nothing new be made directly in its folder. Only the size of each file is bounded \
         (`--fsize`, at most `--tmp-size`). New sockets are refused, on loopback too; with `--net host` only unix sockets are. \
         So are System V IPC, message queues, new pseudo terminals, and a folder to `--hide` below a shown one. What stays \
         open: the host's processes are seen with their command lines; of files that the box's user could see, names, sizes \
         and times are; mode, times and attributes of files that belong to this user can be changed, wherever they lie (as \
         root the box runs as somebody else); before Linux 6.12 the box can signal every process of its user, and so escape \
         its end. testbox's init ends every process of the box, and the cgroup, where there is one, what gets away.",
    ),
];

pub(super) fn text() -> String {
    let defaults = testbox_config::defaults().unwrap_or_default();
    let mut text = HEAD.to_owned();
    for (key, meaning) in LIMITS {
        let default = defaults.text(key).unwrap_or_default();
        text.push_str(&format!("\n--{key} (default {default})\n{}", wrapped(meaning)));
    }
    text + &weaker() + TAIL
}

fn weaker() -> String {
    let forms = WEAKER.iter().map(|(walls, meaning)| format!("\n{walls}\n{}", wrapped(meaning)));
    format!("\nWeaker forms, with `--allow-degraded`\n{}", forms.collect::<String>())
}

/// The text in lines of at most 96 characters, indented.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 96;
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&format!("    {line}\n"));
            line.clear();
        }
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    lines + &format!("    {line}\n")
}

const HEAD: &str = "\
Limits of a box

A box is limited as a whole, whatever it forks; only nofile counts per process and fsize per file. The tests of a
pytest command can have limits of their own on top, and some of them others than the rest (quotas). A limit
that this host cannot enforce stops the run, unless `--allow-degraded` names its wall; `testbox doctor`
tells before.
";

const TAIL: &str = r#"
SIZE   512M, 2GiB, 1.5G (binary units), or a share of this machine's memory like 50%
RATE   10M or 10M/s
DUR    250ms, 90s, 5m, 1h30m

Quotas stand in testbox.toml, or in pyproject.toml as [tool.testbox.quota]; `testbox help policy` explains them:

    [quota]
    "tests/e2e/**" = { memory = "3G", timeout = "5m", isolate = "test", pids = 100 }
    marker.memory_intensive = { memory = "2G" }

In a container that has a memory limit of its own, that limit is this machine's memory.
`testbox run --dry-run -- COMMAND` prints what holds here, and why.
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_key_with_its_default() {
        let text = text();
        let defaults = testbox_config::defaults().unwrap();
        for (key, _) in LIMITS {
            let default = defaults.text(key).unwrap();
            assert!(text.contains(&format!("--{key} (default {default})")), "{key}");
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        assert!(text().lines().all(|line| line.chars().count() <= 120));
    }
}
