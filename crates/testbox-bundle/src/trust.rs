//! What data from files may never make visible: a `.pth` line or a `pyvenv.cfg` can name any path of the host.

use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::image::TrustLists;
use crate::walk;

/// The rules of `images/base.toml` for this run's home folders.
#[derive(Debug)]
pub(crate) struct Trust<'a> {
    homes: Vec<PathBuf>,
    lists: &'a TrustLists,
}

impl<'a> Trust<'a> {
    /// The rules for the home folders of the caller, by their names and where these lead.
    pub(crate) fn new(host: &Host, lists: &'a TrustLists) -> Self {
        let mut homes = host.homes();
        homes.extend(host.homes().iter().filter_map(|home| walk::walk(host, home).ok()).map(|end| end.path));
        homes.sort();
        homes.dedup();
        Self { homes, lists }
    }

    /// The home folders of this run.
    pub(crate) fn homes(&self) -> &[PathBuf] {
        &self.homes
    }

    /// Why `path` (resolved) must not be shown because a file names it; `None` if it may.
    pub(crate) fn objection(&self, path: &Path) -> Option<String> {
        self.too_broad(path).or_else(|| self.hidden(path))
    }

    /// Why `path` (resolved) must not be shown unless a flag names it: it holds far more than code.
    pub(crate) fn too_broad(&self, path: &Path) -> Option<String> {
        self.top_folder(path).or_else(|| {
            let never = self.lists.never_below.iter().find(|never| path.starts_with(never))?;
            Some(format!("`{}` belongs to the system", never.display()))
        })
    }

    /// Why `path` (resolved) is no folder of one project or package.
    pub(crate) fn top_folder(&self, path: &Path) -> Option<String> {
        if let Some(home) = self.homes.iter().find(|home| home.starts_with(path)) {
            let what = if home == path { "it is the home folder" } else { "the home folder lies below it" };
            return Some(what.to_owned());
        }
        let top = self.lists.never_itself.iter().chain(&self.lists.never_below).any(|never| never == path);
        top.then(|| "it is a top folder of the system".to_owned())
    }

    /// Why a path in a hidden folder of the home folder must not be shown.
    fn hidden(&self, path: &Path) -> Option<String> {
        self.homes.iter().find_map(|home| {
            let below = path.strip_prefix(home).ok()?;
            let first = below.components().next()?.as_os_str();
            let allowed = self.lists.hidden_home_folders.iter().any(|folder| below.starts_with(folder));
            let is_hidden = first.as_encoded_bytes().starts_with(b".") && !allowed;
            is_hidden.then(|| format!("`~/{}` may hold secrets", first.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    #[test]
    fn system_home_and_hidden_folders_are_refused() {
        let lists = Image::base().unwrap().trust;
        let trust = Trust { homes: vec!["/home/u".into()], lists: &lists };
        for refused in
            ["/", "/home", "/home/u", "/etc", "/etc/ssl", "/proc/1", "/home/u/.ssh", "/home/u/.config/x", "/tmp"]
        {
            assert!(trust.objection(Path::new(refused)).is_some(), "{refused}");
        }
        for fine in ["/srv/code", "/home/u/src", "/home/u/.pyenv/versions/3.12.1", "/opt/py", "/tmp/x", "/home/v/.x"] {
            assert_eq!(trust.objection(Path::new(fine)), None, "{fine}");
        }
    }
}
