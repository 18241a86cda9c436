//! The generated files of /etc, and the copies of the host's.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testbox_model::Net;

use crate::bundle::{Entry, Identity};
use crate::error::BundleError;
use crate::host::Host;
use crate::image::{EtcLists, Image};
use crate::walk::{self, Walked};

const NOBODY: u32 = 65_534;
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
                        protocols: files\nservices: files\n";

/// All of it.
pub(crate) fn entries(
    host: &Host,
    image: &Image,
    identity: Identity,
    net: Net,
    home: &Path,
    copied: Vec<(PathBuf, Walked)>,
) -> Result<Vec<Entry>, BundleError> {
    let user = image.home.user.as_str();
    let mut entries = accounts(user, identity.box_uid, identity.box_gid, home);
    entries.push(file("hostname", format!("{user}\n")));
    entries.push(file("nsswitch.conf", NSSWITCH.to_owned()));
    entries.push(file("hosts", hosts(host, net, user)));
    entries.push(file("resolv.conf", resolver(host, net)));
    for (path, end) in copied {
        copy(host, &image.etc, &path, end, &mut entries)?;
    }
    Ok(entries)
}

/// `/etc/passwd` and `/etc/group` with root, the box's user and nobody.
pub(crate) fn accounts(user: &str, uid: u32, gid: u32, home: &Path) -> Vec<Entry> {
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
    let mut group = "root:x:0:\ntty:x:5:\n".to_owned();
    passwd.push_str(&format!("{user}:x:{uid}:{gid}:{user}:{}:/bin/sh\n", home.display()));
    if gid != 0 {
        group.push_str(&format!("{user}:x:{gid}:\n"));
    }
    if uid != NOBODY {
        passwd.push_str(&format!("nobody:x:{NOBODY}:{NOBODY}:nobody:/nonexistent:/usr/sbin/nologin\n"));
    }
    if gid != NOBODY {
        group.push_str(&format!("nogroup:x:{NOBODY}:\n"));
    }
    vec![file("passwd", passwd), file("group", group)]
}

fn hosts(host: &Host, net: Net, name: &str) -> String {
    let own = format!("127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback\n");
    match net {
        Net::None => own,
        Net::Host => own + &host.read_text(Path::new("/etc/hosts")).unwrap_or_default(),
    }
}

/// The host's name servers where its network is shared, else none.
fn resolver(host: &Host, net: Net) -> String {
    let path = walk::walk(host, Path::new("/etc/resolv.conf")).map(|end| end.path);
    match (net, path) {
        (Net::Host, Ok(path)) => host.read_text(&path).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A file, a link into /usr, or a folder with the files in it; nothing if it is not public.
fn copy(host: &Host, etc: &EtcLists, path: &Path, end: Walked, entries: &mut Vec<Entry>) -> Result<(), BundleError> {
    if end.metadata.is_dir() {
        entries.push(Entry::Dir { path: path.to_owned(), mode: 0o755 });
        for name in host.names_in(path).iter() {
            let inner = path.join(name);
            if let Some(end) = walk::walk(host, &inner).ok().filter(|end| end.metadata.is_file()) {
                copy(host, etc, &inner, end, entries)?;
            }
        }
        return Ok(());
    }
    entries.extend(copied_file(host, etc, path, &end)?);
    Ok(())
}

fn copied_file(host: &Host, etc: &EtcLists, path: &Path, end: &Walked) -> Result<Option<Entry>, BundleError> {
    let own_link = end.links.last().filter(|link| end.path.starts_with("/usr") && link.at == path);
    if let Some(link) = own_link {
        return Ok(Some(Entry::Symlink { path: path.to_owned(), target: link.target.clone() }));
    }
    let mode = end.metadata.permissions().mode();
    if !end.metadata.is_file() || end.metadata.len() > etc.copy_limit_bytes || mode & 0o004 == 0 {
        return Ok(None);
    }
    let content = host.read_start(&end.path, etc.copy_limit_bytes);
    let content = content.map_err(|source| BundleError::Unreadable { path: path.to_owned(), source })?;
    Ok(Some(Entry::File { path: path.to_owned(), content, mode: 0o444 | mode & 0o111 }))
}

fn file(name: &str, content: String) -> Entry {
    Entry::File { path: PathBuf::from("/etc").join(name), content: content.into_bytes(), mode: 0o444 }
}
