//! A table of hostile archives; and a good one.

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

/// (type, path, link target or content), written without the checks of the `tar` crate's own builder.
type Item = (EntryType, &'static str, &'static str);

fn archive(dir: &Path, items: &[Item]) -> PathBuf {
    let path = dir.join("source.tar.gz");
    let mut builder = Builder::new(GzEncoder::new(fs_err::File::create(&path).unwrap(), Compression::fast()));
    for (kind, name, text) in items {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        let content = if *kind == EntryType::Regular { text.as_bytes() } else { &[] };
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
    path
}

fn unpacked(items: &[Item]) -> (tempfile::TempDir, Result<(), Error>) {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    fs_err::create_dir(&into).unwrap();
    let result = unpack(&archive(dir.path(), items), &into);
    (dir, result)
}

#[test]
fn a_good_archive_loses_its_outer_folder_and_every_special_bit() {
    use std::os::unix::fs::MetadataExt;
    let (dir, result) = unpacked(&[
        (EntryType::Directory, "p-1/", ""),
        (EntryType::Regular, "p-1/a/b.py", "text"),
        (EntryType::Symlink, "p-1/a/link.py", "../a/b.py"),
    ]);
    result.unwrap();
    let file = dir.path().join("into/a/b.py");
    assert_eq!(fs_err::read_to_string(dir.path().join("into/a/link.py")).unwrap(), "text");
    assert_eq!(fs_err::metadata(file).unwrap().mode() & 0o7000, 0);
}

#[test]
fn hostile_entries_are_refused_by_name_and_nothing_is_written_outside() {
    let table: [(&str, Vec<Item>); 9] = [
        ("goes up", vec![(EntryType::Regular, "p/../../evil", "x")]),
        ("absolute", vec![(EntryType::Regular, "/evil/evil", "x")]),
        ("leads out", vec![(EntryType::Symlink, "p/l", "../evil")]),
        ("leads out", vec![(EntryType::Symlink, "p/l", "/etc")]),
        ("leads out", vec![(EntryType::Symlink, "p/l", "a/../../b/../../evil")]),
        ("leads out", vec![(EntryType::Symlink, "p/d/d/l", "../../../evil")]),
        ("neither", vec![(EntryType::Link, "p/l", "p/x")]),
        ("neither", vec![(EntryType::Fifo, "p/f", "")]),
        ("neither", vec![(EntryType::Char, "p/c", "")]),
    ];
    for (why, items) in table {
        let (dir, result) = unpacked(&items);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(items[0].1), "{items:?}: {error}");
        assert!(!dir.path().join("evil").exists(), "{items:?}");
    }
}

#[test]
fn a_link_to_a_shallower_folder_does_not_widen_what_later_links_may_do() {
    let (_dir, result) = unpacked(&[
        (EntryType::Directory, "p/", ""),
        (EntryType::Symlink, "p/d", "a"),
        (EntryType::Regular, "p/a/x", ""),
        (EntryType::Symlink, "p/a/back", ".."),
        (EntryType::Symlink, "p/d/back/d/back/l", "../evil"),
    ]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("leads out") && error.contains("p/d/back/d/back/l"), "{error}");
}
