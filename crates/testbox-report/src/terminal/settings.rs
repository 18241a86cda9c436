//! The plan's values in words: a short list for everyone, and one line a value with its origin for the curious.

use std::fmt::Display;

use testbox_model::{Bytes, Net, RunPlan, SeccompChoice, Setting};

use crate::harmless::one_line;

/// The limits that every run has, and the others where they were asked for.
pub(super) fn limits(plan: &RunPlan) -> Vec<String> {
    let (limits, times) = (&plan.limits, &plan.times);
    let mut items = vec![
        format!("memory {}", limits.memory_bytes.value),
        format!("swap {}", zero_or(limits.swap_bytes.value)),
        format!("{} pids", limits.pids.value),
        cpus(limits.cpus.value),
        format!("scratch {}", limits.tmp_bytes.value),
    ];
    items.extend(limits.io_read.value.map(|rate| format!("disk reads {rate}")));
    items.extend(limits.io_write.value.map(|rate| format!("disk writes {rate}")));
    items.extend(limits.fsize_bytes.value.map(|size| format!("files up to {size}")));
    items.push(format!("timeout {}", times.timeout.value));
    items.extend(times.idle_timeout.value.map(|time| format!("idle timeout {time}")));
    items
}

/// One line for each value: name, value, origin.
pub(super) fn origins(plan: &RunPlan) -> String {
    let (limits, times, testing) = (&plan.limits, &plan.times, &plan.testing);
    let command: Vec<_> = plan.command.iter().map(|word| word.to_string_lossy()).collect();
    [
        format!("  command       {}\n", one_line(&command.join(" "))),
        format!("  project       {}\n", one_line(&plan.project.to_string_lossy())),
        row("policy", &plan.policy.value, &plan.policy),
        row("memory", limits.memory_bytes.value, &limits.memory_bytes),
        row("swap", zero_or(limits.swap_bytes.value), &limits.swap_bytes),
        row("pids", limits.pids.value, &limits.pids),
        row("CPUs", cpus(limits.cpus.value), &limits.cpus),
        row("open files", limits.nofile.value, &limits.nofile),
        row("disk reads", or_no_limit(limits.io_read.value), &limits.io_read),
        row("disk writes", or_no_limit(limits.io_write.value), &limits.io_write),
        row("scratch", limits.tmp_bytes.value, &limits.tmp_bytes),
        row("inodes", limits.tmp_inodes.value, &limits.tmp_inodes),
        row("output", limits.output_bytes.value, &limits.output_bytes),
        row("file size", or_no_limit(limits.fsize_bytes.value), &limits.fsize_bytes),
        row("timeout", times.timeout.value, &times.timeout),
        row("idle timeout", or_no_limit(times.idle_timeout.value), &times.idle_timeout),
        row("grace", times.grace.value, &times.grace),
        row("isolate", testing.isolate.value, &testing.isolate),
        row("jobs", testing.jobs.value, &testing.jobs),
        row("test memory", or_no_limit(testing.test_memory.value), &testing.test_memory),
        row("file memory", or_no_limit(testing.file_memory.value), &testing.file_memory),
        row("collection", or_no_limit(testing.collect_timeout.value), &testing.collect_timeout),
        row("test timeout", or_no_limit(testing.test_timeout.value), &testing.test_timeout),
        row("teardown", or_no_limit(testing.teardown_timeout.value), &testing.teardown_timeout),
        row("max kills", testing.max_kills.value, &testing.max_kills),
        row("retry killed", testing.retry_killed.value, &testing.retry_killed),
        row("quotas", testing.quotas.value.len(), &testing.quotas),
        row("network", network(plan.net.value), &plan.net),
        row("seccomp", seccomp(&plan.seccomp.value), &plan.seccomp),
    ]
    .concat()
}

fn row<T>(name: &str, shown: impl Display, setting: &Setting<T>) -> String {
    let value = one_line(&shown.to_string());
    format!("  {name:13} {value:20}  ({})\n", one_line(&setting.origin.to_string()))
}

fn zero_or(bytes: Bytes) -> String {
    if bytes == Bytes(0) { "0".to_owned() } else { bytes.to_string() }
}

fn or_no_limit<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "no limit".to_owned(), |value| value.to_string())
}

fn cpus(cpus: Option<f64>) -> String {
    match cpus {
        None => "all CPUs".to_owned(),
        Some(1.0) => "1 CPU".to_owned(),
        Some(cpus) => format!("{cpus} CPUs"),
    }
}

fn network(net: Net) -> &'static str {
    match net {
        Net::None => "none (loopback only)",
        Net::Host => "the host's",
    }
}

fn seccomp(choice: &SeccompChoice) -> String {
    match choice {
        SeccompChoice::Builtin(name) => name.clone(),
        SeccompChoice::File(path) => path.to_string_lossy().into_owned(),
    }
}
