//! Where poetry keeps the environment of a project: its configuration, its naming rule. Reads files only.

use std::path::PathBuf;

use super::Look;
use super::name_hash::{sanitized, short_hash};
use crate::walk;

/// The environment that poetry made for this project, or why there is none.
pub(crate) fn environment(look: &Look<'_>) -> Result<PathBuf, String> {
    let file = look.project.join("pyproject.toml");
    let text = look.host.read_text(&file).map_err(|_| "no pyproject.toml".to_owned())?;
    let project: toml::Table = text.parse().map_err(|_| "pyproject.toml is not valid TOML".to_owned())?;
    let name = project_name(look, &project).ok_or("not a poetry project")?;
    let folder = folder(look).ok_or("no home folder")?;
    let hash = short_hash(look.project.as_os_str().as_encoded_bytes());
    let prefix = format!("{}-{hash}-py", sanitized(&name.to_lowercase(), " $`!*@\"\\\r\n\t"));
    let names = look.host.names_in(&folder);
    let made = names.iter().filter_map(|name| name.to_str()).filter(|name| name.starts_with(&prefix));
    let newest = made.max_by_key(|name| minor(name.trim_start_matches(prefix.as_str())));
    newest.map(|name| folder.join(name)).ok_or_else(|| format!("no `{}/{prefix}*`", folder.display()))
}

/// The project's name if poetry manages it.
fn project_name(look: &Look<'_>, project: &toml::Table) -> Option<String> {
    let own = project.get("tool").and_then(|tool| tool.get("poetry"));
    let locked = walk::is_file(look.host, &look.project.join("poetry.lock"));
    if own.is_none() && !locked {
        return None;
    }
    let name = own.and_then(|table| table.get("name")).or_else(|| project.get("project")?.get("name"));
    name.and_then(toml::Value::as_str).map(str::to_owned)
}

/// The folder of environments: environment variables, then the project's `poetry.toml`, then the user's configuration.
fn folder(look: &Look<'_>) -> Option<PathBuf> {
    let home = look.host.home.as_deref()?;
    if let Some(path) = look.host.env_path("POETRY_VIRTUALENVS_PATH") {
        return Some(walk::absolute(look.project, &path));
    }
    let config = look.host.env_path("POETRY_CONFIG_DIR").unwrap_or_else(|| {
        look.host.env_path("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("pypoetry")
    });
    let files = [look.project.join("poetry.toml"), config.join("config.toml")];
    let tables: Vec<toml::Table> =
        files.iter().filter_map(|file| look.host.read_text(file).ok()?.parse().ok()).collect();
    let setting = |path: &dyn Fn(&toml::Table) -> Option<String>| tables.iter().find_map(path);
    let cache = look.host.env_path("POETRY_CACHE_DIR").or_else(|| setting(&cache_folder).map(PathBuf::from));
    let cache = cache.unwrap_or_else(|| {
        look.host.env_path("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("pypoetry")
    });
    let Some(path) = setting(&environments_folder) else { return Some(cache.join("virtualenvs")) };
    let path = path.replace("{cache-dir}", &cache.to_string_lossy());
    let path = path.strip_prefix("~/").map_or_else(|| PathBuf::from(&path), |rest| home.join(rest));
    Some(walk::absolute(look.project, &path))
}

fn environments_folder(table: &toml::Table) -> Option<String> {
    table.get("virtualenvs")?.get("path")?.as_str().map(str::to_owned)
}

fn cache_folder(table: &toml::Table) -> Option<String> {
    table.get("cache-dir")?.as_str().map(str::to_owned)
}

/// `3.12` as numbers, so that 3.9 is older than 3.12.
fn minor(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}
