//! pytest's version in a `site-packages` folder, told by the names of metadata folders. Nothing is imported or run.

use std::io;
use std::path::Path;

/// The version of pytest installed in `site_packages`: `Some("8.3.2")`; `Some("")` if it is there without metadata;
/// `None` if it is not there, or the folder does not exist.
///
/// # Errors
/// The folder exists and cannot be read.
pub fn installed_version(site_packages: &Path) -> io::Result<Option<String>> {
    let entries = match fs_err::read_dir(site_packages) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut bare = false;
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(version) = metadata_version(name) {
            return Ok(Some(version.to_owned()));
        }
        bare |= matches!(name, "pytest" | "_pytest" | "pytest.py" | "pytest.egg-link");
    }
    Ok(bare.then(String::new))
}

/// `8.3.2` of `pytest-8.3.2.dist-info` or `pytest-7.2.1.egg-info`.
fn metadata_version(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".dist-info").or_else(|| name.strip_suffix(".egg-info"))?;
    let version = stem.strip_prefix("pytest-")?;
    let version = version.split_once("-py").map_or(version, |(version, _)| version);
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_off_metadata_folders() {
        for (name, version) in [
            ("pytest-8.3.2.dist-info", Some("8.3.2")),
            ("pytest-7.2.1.egg-info", Some("7.2.1")),
            ("pytest-4.6.11-py2.7.egg-info", Some("4.6.11")),
            ("pytest-9.0.0rc1.dist-info", Some("9.0.0rc1")),
            ("pytest_cov-5.0.0.dist-info", None),
            ("pytest-xdist-1.dist-info", None),
        ] {
            assert_eq!(metadata_version(name), version, "{name}");
        }
    }

    #[test]
    fn a_folder_has_pytest_with_or_without_metadata() {
        let site = tempfile::tempdir().unwrap();
        assert_eq!(installed_version(site.path()).unwrap(), None);
        assert_eq!(installed_version(&site.path().join("missing")).unwrap(), None);
        fs_err::create_dir(site.path().join("_pytest")).unwrap();
        assert_eq!(installed_version(site.path()).unwrap().as_deref(), Some(""));
        fs_err::create_dir(site.path().join("pytest-8.3.2.dist-info")).unwrap();
        assert_eq!(installed_version(site.path()).unwrap().as_deref(), Some("8.3.2"));
    }
}
