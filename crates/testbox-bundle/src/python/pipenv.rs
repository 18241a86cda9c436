//! Where pipenv keeps the environment of a project: its folder and naming rule. Reads files only.

use std::path::PathBuf;

use super::Look;
use super::name_hash::{sanitized, short_hash};
use crate::walk;

/// The environment that pipenv made for this project, or why there is none.
pub(crate) fn environment(look: &Look<'_>) -> Result<PathBuf, String> {
    let pipfile = look.project.join("Pipfile");
    if !walk::is_file(look.host, &pipfile) {
        return Err("no Pipfile".to_owned());
    }
    let folder = folder(look).ok_or("no home folder")?;
    let name = match look.host.env("PIPENV_CUSTOM_VENV_NAME") {
        Some(name) => name.to_string_lossy().into_owned(),
        None => {
            let name = look.project.file_name().unwrap_or_default().to_string_lossy();
            let hash = short_hash(pipfile.as_os_str().as_encoded_bytes());
            format!("{}-{hash}", sanitized(&name, " &$`!*@\"()[]\\\r\n\t"))
        }
    };
    let path = folder.join(name);
    if walk::is_folder(look.host, &path) { Ok(path) } else { Err(format!("no `{}`", path.display())) }
}

/// WORKON_HOME, else the user's data folder.
fn folder(look: &Look<'_>) -> Option<PathBuf> {
    let home = look.host.home.as_deref()?;
    if let Some(path) = look.host.env_path("WORKON_HOME") {
        return Some(match path.strip_prefix("~") {
            Ok(rest) => home.join(rest),
            Err(_) => walk::absolute(look.project, &path),
        });
    }
    let data = look.host.env_path("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    Some(data.join("virtualenvs"))
}
