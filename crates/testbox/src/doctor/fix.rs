//! `testbox doctor --fix`: the commands of root that make findings go away, printed, and run where that is wanted.

use std::process::{Command, Stdio};

use testbox_model::Fault;

use super::finding::Finding;
use crate::fault;

/// The commands of all findings, each once.
pub(super) fn commands(findings: &[Finding]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for command in findings.iter().flat_map(|finding| &finding.commands) {
        if !commands.contains(command) {
            commands.push(command.clone());
        }
    }
    commands
}

/// The commands as they are printed.
pub(super) fn text(commands: &[String]) -> String {
    if commands.is_empty() {
        return "\nno command fixes what was found; read the lines with `fix:`\n".to_owned();
    }
    let lines: String = commands.iter().map(|command| format!("  {command}\n")).collect();
    format!("\ncommands for root:\n{lines}")
}

/// Runs the commands as they were printed, up to the first that fails.
pub(super) fn run(commands: &[String]) -> Result<(), Box<Fault>> {
    if !rustix::process::geteuid().is_root() {
        return Err(fault::plain("`--yes` runs commands of root", "run `sudo testbox doctor --fix --yes`"));
    }
    for command in commands {
        #[expect(clippy::disallowed_methods, reason = "the user asked the doctor to run what it printed")]
        let output = Command::new("/bin/sh").args(["-c", command]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| fault::of(&error, None))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let message = format!("`{command}` failed ({}): {}", output.status, testbox_report::one_line(&said));
            return Err(fault::plain(message, "run it by hand, and look at what it says"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_several_findings_need_is_said_once() {
        let finding = |command: &str| Finding::missing("namespaces", "x").commands([command.to_owned()]);
        let all = commands(&[finding("a"), finding("b"), finding("a"), Finding::note("kernel", "x")]);
        assert_eq!(all, ["a", "b"]);
        assert_eq!(text(&all), "\ncommands for root:\n  a\n  b\n");
        assert!(text(&[]).contains("no command"));
    }
}
