//! The disk on which files and jobs reach the guest: an archive, unpacked at the guest's root.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use serde::Serialize;
use tar::{Builder, Header, HeaderMode};

use crate::error::Error;
use crate::guest::Job;

/// Where `images/guest/agent.py` finds the jobs.
const JOBS: &str = "/run/testbox-guest/jobs.json";

/// A disk that is being filled; a file without a name, so that it goes away with its last user.
pub(crate) struct Disk(Builder<File>);

impl Disk {
    /// An empty disk whose bytes lie in this folder's file system.
    pub(crate) fn new(dir: &Path) -> Result<Self, Error> {
        let mut archive = Builder::new(tempfile::tempfile_in(dir)?);
        archive.mode(HeaderMode::Deterministic);
        archive.follow_symlinks(false);
        Ok(Self(archive))
    }

    /// A file of the host at this path of the guest, owned by root.
    pub(crate) fn file(&mut self, host: &Path, guest: &str) -> Result<(), Error> {
        Ok(self.0.append_path_with_name(host, below_root(guest))?)
    }

    /// A folder of the host with all that is in it.
    pub(crate) fn folder(&mut self, host: &Path, guest: &str) -> Result<(), Error> {
        Ok(self.0.append_dir_all(below_root(guest), host)?)
    }

    /// A file of the guest that holds this as JSON.
    pub(crate) fn json(&mut self, what: &impl Serialize, guest: &str) -> Result<(), Error> {
        let text = serde_json::to_vec(what)
            .map_err(|source| Error::Json { what: format!("the guest's `{guest}`"), source })?;
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        Ok(self.0.append_data(&mut header, below_root(guest), text.as_slice())?)
    }

    /// The disk with these jobs, ready to be read.
    pub(crate) fn finish(mut self, jobs: &[Job]) -> Result<File, Error> {
        self.json(&jobs, JOBS)?;
        let mut file = self.0.into_inner()?;
        file.flush()?;
        file.rewind()?;
        Ok(file)
    }
}

fn below_root(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::guest::User;

    #[test]
    fn files_and_jobs_are_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a"), "content").unwrap();
        let mut disk = Disk::new(dir.path()).unwrap();
        disk.folder(dir.path(), "/opt/x").unwrap();
        let file = disk.finish(&[Job::new(User::Root, &["true".to_owned()])]).unwrap();
        let mut archive = tar::Archive::new(file);
        let mut found = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.insert(entry.path().unwrap().display().to_string(), text);
        }
        assert_eq!(found["opt/x/a"], "content");
        assert_eq!(found["run/testbox-guest/jobs.json"], r#"[["runuser","--login","root","--command","exec true"]]"#);
    }
}
