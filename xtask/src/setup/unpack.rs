//! Unpacks a source archive without trusting it: plain files, folders and inner links only, and bounded.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::error::Error;

/// All files of an archive together, in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Entries of an archive.
const MAX_ENTRIES: usize = 50_000;

/// Unpacks `archive` into the existing folder `into`, without the folder that a source archive wraps around everything.
pub(crate) fn unpack(archive: &Path, into: &Path) -> Result<(), Error> {
    let refuse = |entry: &str, why| Error::Archive { archive: archive.to_owned(), entry: entry.to_owned(), why };
    let mut tar = Archive::new(GzDecoder::new(fs_err::File::open(archive)?));
    tar.set_preserve_permissions(false);
    tar.set_preserve_ownerships(false);
    let mut bytes = 0;
    for (count, entry) in tar.entries()?.enumerate() {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        bytes += entry.size();
        if bytes > MAX_BYTES || count > MAX_ENTRIES {
            return Err(refuse(&name, "the archive is too large"));
        }
        place(&mut entry, into).map_err(|why| match why {
            Refusal::Because(why) => refuse(&name, why),
            Refusal::Io(error) => error.into(),
        })?;
    }
    Ok(())
}

enum Refusal {
    Because(&'static str),
    Io(std::io::Error),
}

fn place<R: Read>(entry: &mut Entry<'_, R>, into: &Path) -> Result<(), Refusal> {
    let path = entry.path().map_err(Refusal::Io)?.into_owned();
    let Some(inner) = inner_path(&path).map_err(Refusal::Because)? else { return Ok(()) };
    let target = into.join(&inner);
    let parent = target.parent().unwrap_or(into);
    fs_err::create_dir_all(parent).map_err(Refusal::Io)?;
    let depth = depth_below(into, parent)?;
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Directory => {}
        EntryType::Symlink => check_link(entry, depth)?,
        EntryType::XGlobalHeader => return Ok(()),
        _ => return Err(Refusal::Because("neither a file nor a folder nor a symbolic link")),
    }
    entry.unpack(&target).map(drop).map_err(Refusal::Io)
}

/// How deep a folder really lies below `into`: links of earlier entries could have led elsewhere.
fn depth_below(into: &Path, folder: &Path) -> Result<usize, Refusal> {
    let top = fs_err::canonicalize(into).map_err(Refusal::Io)?;
    let real = fs_err::canonicalize(folder).map_err(Refusal::Io)?;
    let below = real.strip_prefix(top).map_err(|_| Refusal::Because("its folder is a link that leads out"))?;
    Ok(below.components().count())
}

/// The path without its first component; `None` for that component itself.
fn inner_path(path: &Path) -> Result<Option<PathBuf>, &'static str> {
    let mut names = vec![];
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => return Err("its path is absolute or goes up"),
        }
    }
    Ok((names.len() > 1).then(|| names[1..].iter().collect()))
}

/// A link may go up, no further than to the top, and then only down.
fn check_link<R: Read>(entry: &Entry<'_, R>, depth: usize) -> Result<(), Refusal> {
    let link = entry.link_name().map_err(Refusal::Io)?.ok_or(Refusal::Because("a link without a target"))?;
    let ups = link.components().take_while(|component| *component == Component::ParentDir).count();
    let only_down = link.components().skip(ups).all(|component| matches!(component, Component::Normal(_)));
    match ups <= depth && only_down {
        true => Ok(()),
        false => Err(Refusal::Because("a link that leads out")),
    }
}

#[cfg(test)]
mod tests;
