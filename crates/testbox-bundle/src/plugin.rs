//! testbox's pytest plugin in the box: generated files, a folder on PYTHONPATH, an option of the command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use testbox_model::RunPlan;
use testbox_pytest::plugin::{SOURCES, with_plugin};

use crate::bundle::Entry;
use crate::host::Host;

/// Where the plugin lies in the box; nothing of the host is ever shown there.
pub(crate) const FOLDER: &str = "/etc/testbox/python";
/// The first line of a script is within this; the kernel itself reads 256 bytes.
const START_BYTES: u64 = 512;

/// A command with the plugin.
pub(crate) struct Plugin {
    /// The command with the plugin's option.
    pub(crate) argv: Vec<OsString>,
    /// The plugin's files.
    pub(crate) entries: Vec<Entry>,
}

/// The plugin for this plan; `None` if the command is not pytest, if its interpreter would not find the plugin, or if the
/// user does not want it.
pub(crate) fn of(plan: &RunPlan, host: &Host, bin_folders: &[PathBuf]) -> Option<Plugin> {
    if plan.no_plugin.value || is_isolated_script(plan.command.first()?, host, bin_folders) {
        return None;
    }
    let argv = with_plugin(&plan.command)?;
    let file = |(path, text): &(&str, &str)| Entry::File {
        path: Path::new(FOLDER).join(path),
        content: text.as_bytes().to_vec(),
        mode: 0o444,
    };
    Some(Plugin { argv, entries: SOURCES.iter().map(file).collect() })
}

/// The environment with the plugin's folder in front of PYTHONPATH; the plugin takes it away again when it is loaded.
pub(crate) fn with_folder(mut environment: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    match environment.iter_mut().find(|(name, _)| name == "PYTHONPATH") {
        Some((_, value)) if !value.is_empty() => {
            let mut folders = OsString::from(FOLDER);
            folders.push(":");
            folders.push(&value);
            *value = folders;
        }
        Some((_, value)) => *value = FOLDER.into(),
        None => environment.push(("PYTHONPATH".into(), FOLDER.into())),
    }
    environment
}

/// A script whose first line starts an interpreter that ignores PYTHONPATH (`-E`, `-I`) would not find the plugin.
fn is_isolated_script(program: &OsStr, host: &Host, bin_folders: &[PathBuf]) -> bool {
    let places = match program.as_bytes().contains(&b'/') {
        true => vec![PathBuf::from(program)],
        false => bin_folders.iter().map(|folder| folder.join(program)).collect(),
    };
    let start = places.iter().find_map(|place| host.read_start(place, START_BYTES).ok()).unwrap_or_default();
    let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut options = first.split(u8::is_ascii_whitespace).filter(|word| word.starts_with(b"-"));
    first.starts_with(b"#!") && options.any(|option| option.contains(&b'E') || option.contains(&b'I'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: Option<&str>) -> Vec<(OsString, OsString)> {
        value.map(|value| (OsString::from("PYTHONPATH"), OsString::from(value))).into_iter().collect()
    }

    #[test]
    fn the_folder_stands_before_the_users() {
        for (before, after) in [(None, FOLDER), (Some(""), FOLDER), (Some("/a:/b"), "/etc/testbox/python:/a:/b")] {
            assert_eq!(with_folder(environment(before)), environment(Some(after)));
        }
    }

    #[test]
    fn a_script_that_ignores_the_environment_runs_without_the_plugin() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("v/bin");
        fs_err::create_dir_all(&bin).unwrap();
        let host = Host { root: root.path().to_owned(), ..Host::current() };
        for (line, isolated) in [
            ("#!/v/bin/python", false),
            ("#!/v/bin/python -sE", true),
            ("#!/v/bin/python -I", true),
            ("\x7fELF -E", false),
        ] {
            fs_err::write(bin.join("pytest"), format!("{line}\nimport x\n")).unwrap();
            assert_eq!(is_isolated_script(OsStr::new("pytest"), &host, &["/v/bin".into()]), isolated, "{line}");
            assert_eq!(is_isolated_script(OsStr::new("/v/bin/pytest"), &host, &[]), isolated, "{line}");
        }
    }
}
