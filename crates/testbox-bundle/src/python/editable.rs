//! What a `site-packages` folder refers to outside itself: `.pth` lines, editable installs, `.egg-link` files.
//!
//! All of it is text that any package could have written: a target is shown only if the trust rules allow it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Look, PythonError};
use crate::walk;

/// The existing paths outside the environment that the files in a `site-packages` folder name.
pub(crate) fn targets(look: &Look<'_>, site: &Path) -> Result<Vec<PathBuf>, PythonError> {
    let mut found = Vec::new();
    for name in look.host.names_in(site).iter() {
        let Some(name) = name.to_str() else { continue };
        let file = site.join(name);
        let Some((file, named)) = named_by(look, site, file, name)? else { continue };
        let paths = named.iter().map(|path| walk::absolute(site, path)).filter(|path| !path.starts_with(site));
        found.extend(permitted(look, &file, paths.collect())?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The paths that lead somewhere; an error if one must not be shown.
pub(crate) fn permitted(look: &Look<'_>, named_by: &Path, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, PythonError> {
    let mut permitted = Vec::new();
    for path in paths {
        let Ok(end) = walk::walk(look.host, &path) else { continue };
        let shown_anyway = look.allowed.iter().any(|allowed| end.path.starts_with(allowed))
            || end.path.starts_with(look.project)
            || look.image.system.folders.iter().any(|folder| end.path.starts_with(folder));
        match look.trust.objection(&end.path).filter(|_| !shown_anyway) {
            Some(why) => {
                return Err(PythonError::Untrusted { named_by: named_by.to_owned(), target: end.path, why });
            }
            None => permitted.push(path),
        }
    }
    Ok(permitted)
}

/// The file that names paths (`direct_url.json` lies in a folder) and the paths; `None` if it is no such file.
fn named_by(
    look: &Look<'_>,
    site: &Path,
    file: PathBuf,
    name: &str,
) -> Result<Option<(PathBuf, Vec<PathBuf>)>, PythonError> {
    let (file, parse): (PathBuf, fn(&str) -> Vec<PathBuf>) = if name.ends_with(".dist-info") {
        (site.join(name).join("direct_url.json"), direct_url)
    } else if name.ends_with(".pth") {
        (file, path_lines)
    } else if name.ends_with(".egg-link") {
        (file, first_line)
    } else if name.starts_with("__editable__") && name.ends_with(".py") {
        (file, finder_paths)
    } else {
        return Ok(None);
    };
    // Most packages have none.
    if look.host.lacks(&file) || !walk::is_file(look.host, &file) {
        return Ok(None);
    }
    let text = look.host.read_text(&file).map_err(|source| PythonError::Unreadable { path: file.clone(), source })?;
    Ok(Some((file, parse(&text))))
}

/// A `.pth` file: each line is a path, except comments and `import` lines, which the box runs itself.
fn path_lines(text: &str) -> Vec<PathBuf> {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.filter(|line| !line.starts_with("import ") && !line.starts_with("import\t")).map(PathBuf::from).collect()
}

/// An `.egg-link` file: the first line.
fn first_line(text: &str) -> Vec<PathBuf> {
    text.lines()
        .next()
        .filter(|line| !line.trim().is_empty())
        .map(|line| PathBuf::from(line.trim()))
        .into_iter()
        .collect()
}

/// `direct_url.json` of an editable install; other local installs leave nothing behind that is needed.
fn direct_url(text: &str) -> Vec<PathBuf> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let editable = value.pointer("/dir_info/editable").and_then(Value::as_bool).unwrap_or(false);
    let url = value.get("url").and_then(Value::as_str).filter(|_| editable);
    let path = url.and_then(|url| url.strip_prefix("file://")).filter(|path| path.starts_with('/'));
    path.and_then(percent_decoded).map(PathBuf::from).into_iter().collect()
}

/// setuptools' finder for editable installs: the literals in the lines `MAPPING = {...}` and `NAMESPACES = {...}`.
fn finder_paths(text: &str) -> Vec<PathBuf> {
    let names = ["MAPPING", "NAMESPACES"];
    let lines = text.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    lines.flat_map(literals).filter(|literal| literal.starts_with('/')).map(PathBuf::from).collect()
}

/// The string literals of a line of Python, as `repr` writes them.
fn literals(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line.chars();
    while let Some(quote) = rest.find(|c| *c == '\'' || *c == '"') {
        let mut literal = String::new();
        loop {
            match rest.next() {
                None => return found,
                Some(c) if c == quote => break,
                Some('\\') => literal.extend(rest.next()),
                Some(c) => literal.push(c),
            }
        }
        found.push(literal);
    }
    found
}

fn percent_decoded(text: &str) -> Option<std::ffi::OsString> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    Some(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn pth_files_name_folders_but_never_run() {
        let text = "/srv/src\n# /no\n\nimport os; os.system('x')\nimport\tsys\n../../../src\n";
        assert_eq!(path_lines(text), paths(&["/srv/src", "../../../src"]));
        assert_eq!(first_line("/srv/egg\n.\n"), paths(&["/srv/egg"]));
    }

    #[test]
    fn only_editable_installs_of_direct_url_count() {
        let editable = r#"{"dir_info": {"editable": true}, "url": "file:///srv/my%20app"}"#;
        assert_eq!(direct_url(editable), paths(&["/srv/my app"]));
        assert_eq!(direct_url(r#"{"archive_info": {}, "url": "file:///tmp/x.whl"}"#), paths(&[]));
        assert_eq!(direct_url(r#"{"dir_info": {"editable": true}, "url": "https://x/y"}"#), paths(&[]));
        assert_eq!(direct_url("not json"), paths(&[]));
    }

    #[test]
    fn finders_name_their_mapping() {
        let text = "import sys\nMAPPING: dict[str, str] = {'a': '/srv/a b/a', 'b': \"/srv/it's/b\"}\n\
                    NAMESPACES: dict[str, list[str]] = {'n': ['/srv/n']}\nROOT = '/'\n";
        assert_eq!(finder_paths(text), paths(&["/srv/a b/a", "/srv/it's/b", "/srv/n"]));
        assert_eq!(literals(r"'a\'b' 'open"), ["a'b"]);
    }
}
