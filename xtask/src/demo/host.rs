//! The host, looked at before and after each box: files, a process, free of what boxes leave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::demo::stage::Stage;
use crate::error::Error;
use crate::program::Program;

const CANARY: &str = "no box may change this\n";
/// Names in the project that a box may leave there on purpose: reports, and caches that are carried out.
const CARRIED_OUT: [&str; 3] = [".testbox", ".pytest_cache", "__pycache__"];
/// The file that the disk fillers write; it must never appear outside.
const FILL: &str = "testbox-runaway-fill.bin";

/// The host as it was.
pub(crate) struct Host {
    project: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    canary: PathBuf,
    /// A process that a box could kill if it reached the host's.
    bystander: std::cell::RefCell<Child>,
}

impl Host {
    /// Writes the canaries and remembers the project's files.
    pub(crate) fn watch(stage: &Stage) -> Result<Self, Error> {
        let canary = stage.canary();
        fs_err::write(&canary, CANARY)?;
        let bystander = Program::new("cat").spawn()?.into();
        Ok(Self { files: files(&stage.project)?, project: stage.project.clone(), canary, bystander })
    }

    /// What is not as it was, and what the box left.
    pub(crate) fn complaints(&self, box_id: Option<&str>) -> Result<Vec<String>, Error> {
        let mut complaints = vec![];
        if fs_err::read_to_string(&self.canary).ok().as_deref() != Some(CANARY) {
            complaints.push(format!("the canary file {} was touched", self.canary.display()));
        }
        if self.bystander.borrow_mut().try_wait()?.is_some() {
            complaints.push("a process of the host was killed".to_owned());
        }
        let now = files(&self.project)?;
        let changed = now.iter().filter(|(path, text)| self.files.get(*path) != Some(text)).map(|(path, _)| path);
        let gone = self.files.keys().filter(|path| !now.contains_key(*path));
        complaints.extend(changed.map(|path| format!("{} was written to in the project", path.display())));
        complaints.extend(gone.map(|path| format!("{} was deleted from the project", path.display())));
        if std::env::temp_dir().join(FILL).exists() {
            complaints.push(format!("{FILL} appeared in the host's temporary folder"));
        }
        complaints.extend(box_id.map(left_of).into_iter().flatten());
        Ok(complaints)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let bystander = self.bystander.get_mut();
        let _ = bystander.kill();
        let _ = bystander.wait();
    }
}

/// Contents of all files by their path in the project, but for what is carried out on purpose.
fn files(project: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Error> {
    let mut found = BTreeMap::new();
    let mut folders = vec![project.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if CARRIED_OUT.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => folders.push(path),
                false => {
                    drop(found.insert(path.strip_prefix(project).unwrap_or(&path).to_owned(), fs_err::read(&path)?))
                }
            }
        }
    }
    Ok(found)
}

/// Control groups and processes that carry the name of a box, and processes that still run a runaway.
fn left_of(box_id: &str) -> Vec<String> {
    let mut left: Vec<String> = vec![];
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        let inner: Vec<PathBuf> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        let named =
            inner.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(box_id)));
        left.extend(named.map(|path| format!("the control group {} is left", path.display())));
        folders.extend(inner);
    }
    let processes = fs_err::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    left.extend(
        processes.filter(|path| belongs_to(path, box_id)).map(|path| format!("the process {} is left", path.display())),
    );
    left
}

fn belongs_to(process: &Path, box_id: &str) -> bool {
    let reads = |name: &str| fs_err::read(process.join(name)).unwrap_or_default();
    let (groups, environment) = (reads("cgroup"), reads("environ"));
    let contains = |text: &[u8]| text.windows(box_id.len()).any(|window| window == box_id.as_bytes());
    contains(&groups) || contains(&environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_a_box_is_recognised_by_its_environment() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("environ"), "A=1\0TESTBOX_BOX=testbox-1-2-3\0").unwrap();
        assert!(belongs_to(dir.path(), "testbox-1-2-3"));
        assert!(!belongs_to(dir.path(), "testbox-9-9-9"));
    }

    #[test]
    fn what_is_carried_out_on_purpose_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join(".testbox")).unwrap();
        fs_err::write(dir.path().join(".testbox/x"), "").unwrap();
        fs_err::write(dir.path().join("a.py"), "").unwrap();
        assert_eq!(files(dir.path()).unwrap().keys().collect::<Vec<_>>(), [Path::new("a.py")]);
    }
}
