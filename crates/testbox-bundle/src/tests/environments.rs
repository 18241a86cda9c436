//! Discovery of every kind of environment, on fake hosts.

use std::path::Path;

use super::fixture::{Fake, PROJECT, links, own_lines, site, variable};

fn assert_found(fake: &Fake, command: &str, found_by: &str, path: &str) -> crate::Bundle {
    let bundle = fake.build(command).unwrap();
    let interpreter = bundle.interpreter.clone().unwrap();
    assert_eq!((interpreter.found_by.as_str(), interpreter.path.as_path()), (found_by, Path::new(path)));
    bundle
}

#[test]
fn a_venv_in_the_project_on_the_system_python_needs_no_mount_of_its_own() {
    let fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11");
    let bundle = assert_found(&fake, "pytest", "`/home/u/proj/.venv`", "/home/u/proj/.venv/bin/python");
    assert_eq!(own_lines(&bundle), ["/home/u/proj view rw"]);
    assert_eq!(variable(&bundle, "VIRTUAL_ENV").unwrap(), "/home/u/proj/.venv");
    assert!(variable(&bundle, "PATH").unwrap().starts_with("/home/u/proj/.venv/bin:/usr/local/bin:/usr/bin:"));
    let interpreter = bundle.interpreter.unwrap();
    assert_eq!(interpreter.pytest.as_deref(), Some("8.3.2"));
    assert_eq!(interpreter.version.as_deref(), Some("3.11.1"));
    assert_eq!(interpreter.base_prefix, Path::new("/usr"));
}

#[test]
fn a_uv_managed_base_is_shown_with_every_link_on_the_way() {
    let mut fake = Fake::new();
    let uv = "/home/u/.local/share/uv/python";
    fake.python(&format!("{uv}/cpython-3.12.7-linux"), "3.12");
    fake.link(&format!("{uv}/cpython-3.12-linux"), "cpython-3.12.7-linux");
    fake.link("/home/u/.local/bin/python3.12", &format!("{uv}/cpython-3.12-linux/bin/python3.12"));
    fake.venv("/srv/env", "/home/u/.local/bin", "3.12");
    let pyvenv = "home = /home/u/.local/bin\nuv = 0.5.1\nversion_info = 3.12.7\n";
    fake.file("/srv/env/pyvenv.cfg", pyvenv).file("/home/u/.local/lib/python3.12/os.py", "");
    fake.set("VIRTUAL_ENV", "/srv/env");
    let bundle = assert_found(&fake, "pytest", "VIRTUAL_ENV", "/srv/env/bin/python");
    assert_eq!(
        own_lines(&bundle),
        [
            "/home/u/.local/bin folder ro",
            "/home/u/.local/lib folder ro",
            "/home/u/.local/share/uv/python/cpython-3.12.7-linux folder ro",
            "/home/u/proj view rw",
            "/srv/env folder ro",
        ]
    );
    assert_eq!(links(&bundle), ["/home/u/.local/share/uv/python/cpython-3.12-linux -> cpython-3.12.7-linux"]);
    assert_eq!(bundle.interpreter.unwrap().version.as_deref(), Some("3.12.7"));
}

#[test]
fn a_venv_whose_home_is_a_folder_of_links_resolves_in_the_box() {
    let mut fake = Fake::new();
    let real = "/home/u/.local/share/uv/python/cpython-3.12.7-linux";
    fake.python(real, "3.12").link("/home/u/.local/bin/python3.12", &format!("{real}/bin/python3.12"));
    fake.venv("/srv/env", "/home/u/.local/bin", "3.12");
    fake.set("VIRTUAL_ENV", "/srv/env");
    let bundle = fake.build("pytest").unwrap();
    assert_eq!(own_lines(&bundle), [&format!("{real} folder ro"), "/home/u/proj view rw", "/srv/env folder ro"]);
    assert_eq!(links(&bundle), [format!("/home/u/.local/bin/python3.12 -> {real}/bin/python3.12")]);
}

#[test]
fn a_pyenv_shim_is_resolved_by_the_version_file() {
    let mut fake = Fake::new();
    for version in ["3.10", "3.12"] {
        fake.python(&format!("/home/u/.pyenv/versions/{version}.4"), version);
        let prefix = format!("/home/u/.pyenv/versions/{version}.4");
        fake.dir(&format!("{}/pytest-8.0.0.dist-info", site(&prefix, version)));
    }
    fake.script("/home/u/.pyenv/shims/pytest", "#!/usr/bin/env bash\nexec pyenv exec\n");
    fake.file("/home/u/.pyenv/version", "3.10.4\n").file(&format!("{PROJECT}/.python-version"), "3.12\n");
    fake.set("PATH", "/home/u/.pyenv/shims:/usr/bin");
    let (found_by, python) = ("pyenv (`/home/u/.pyenv/shims/pytest`)", "/home/u/.pyenv/versions/3.12.4/bin/python");
    let bundle = assert_found(&fake, "pytest", found_by, python);
    assert_eq!(own_lines(&bundle), ["/home/u/.pyenv/versions/3.12.4 folder ro", "/home/u/proj view rw"]);
    assert!(variable(&bundle, "PATH").unwrap().starts_with("/home/u/.pyenv/versions/3.12.4/bin:/usr/local/bin"));

    fake.set("PYENV_VERSION", "3.10.4");
    assert_found(&fake, "pytest", found_by, "/home/u/.pyenv/versions/3.10.4/bin/python");
    fake.set("PYENV_VERSION", "3.9.1");
    let (message, hint) = fake.error("pytest");
    assert!(message.contains("`3.9.1` (named by PYENV_VERSION)") && message.contains("3.10.4, 3.12.4"), "{message}");
    assert_eq!(hint, "install it: `pyenv install 3.9.1`");
}

#[test]
fn conda_environments_come_by_prefix_and_base_comes_last() {
    let mut fake = Fake::new();
    for prefix in ["/home/u/miniconda3", "/home/u/miniconda3/envs/e"] {
        fake.python(prefix, "3.12").dir(&format!("{prefix}/conda-meta"));
        fake.dir(&format!("{}/pytest-8.1.1.dist-info", site(prefix, "3.12")));
    }
    fake.set("CONDA_PREFIX", "/home/u/miniconda3/envs/e").set("CONDA_DEFAULT_ENV", "e");
    let bundle = assert_found(&fake, "python -m pytest", "CONDA_PREFIX", "/home/u/miniconda3/envs/e/bin/python");
    assert_eq!(own_lines(&bundle), ["/home/u/miniconda3/envs/e folder ro", "/home/u/proj view rw"]);
    assert_eq!(variable(&bundle, "CONDA_PREFIX").unwrap(), "/home/u/miniconda3/envs/e");

    fake.set("CONDA_PREFIX", "/home/u/miniconda3").set("CONDA_DEFAULT_ENV", "base");
    assert_found(&fake, "pytest", "CONDA_PREFIX", "/home/u/miniconda3/bin/python");
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11");
    assert_found(&fake, "pytest", "`/home/u/proj/.venv`", "/home/u/proj/.venv/bin/python");
}

#[test]
fn poetry_environments_are_found_by_name_and_hash() {
    let fake = Fake::new();
    fake.file(&format!("{PROJECT}/pyproject.toml"), "[tool.poetry]\nname = \"My App\"\n");
    // As `base64.urlsafe_b64encode(hashlib.sha256(b"/home/u/proj").digest())[:8]` says.
    let made = |version: &str| format!("/home/u/.cache/pypoetry/virtualenvs/my_app-nAn4BVom-py{version}");
    fake.venv(&made("3.9"), "/usr/bin", "3.11").venv(&made("3.11"), "/usr/bin", "3.11");
    let bundle = assert_found(&fake, "pytest", "poetry", &format!("{}/bin/python", made("3.11")));
    assert_eq!(own_lines(&bundle), [&format!("{} folder ro", made("3.11")), "/home/u/proj view rw"]);

    fake.file(&format!("{PROJECT}/poetry.toml"), "[virtualenvs]\npath = \"{cache-dir}/envs\"\n");
    let (message, _) = fake.error("pytest");
    assert!(message.contains("no pytest in `/usr/bin/python3`"), "{message}");
}

#[test]
fn pipenv_environments_are_found_by_name_and_hash() {
    let mut fake = Fake::new();
    fake.file(&format!("{PROJECT}/Pipfile"), "");
    let made = "/home/u/.local/share/virtualenvs/proj-kl-QKK3C";
    fake.venv(made, "/usr/bin", "3.11");
    assert_found(&fake, "pytest", "pipenv", &format!("{made}/bin/python"));
    fake.venv("/srv/envs/mine", "/usr/bin", "3.11");
    fake.set("WORKON_HOME", "/srv/envs").set("PIPENV_CUSTOM_VENV_NAME", "mine");
    assert_found(&fake, "pytest", "pipenv", "/srv/envs/mine/bin/python");
}

#[test]
fn the_commands_own_path_comes_before_every_variable() {
    let mut fake = Fake::new();
    fake.venv("/srv/a", "/usr/bin", "3.11").venv("/srv/b", "/usr/bin", "3.11");
    fake.set("VIRTUAL_ENV", "/srv/a");
    assert_found(&fake, "/srv/b/bin/python -m pytest", "the command", "/srv/b/bin/python");
    assert_found(&fake, "/srv/b/bin/pytest", "the first line of `/srv/b/bin/pytest`", "/srv/b/bin/python");
    fake.link(&format!("{PROJECT}/env"), "/srv/b");
    let bundle = assert_found(&fake, "env/bin/python -m pytest", "the command", "/home/u/proj/env/bin/python");
    assert_eq!(own_lines(&bundle), ["/home/u/proj view rw", "/srv/b folder ro"]);
}

#[test]
fn a_script_of_another_environment_brings_it() {
    let fake = Fake::new();
    fake.venv("/home/u/.local/share/pipx/venvs/pytest", "/usr/bin", "3.11");
    fake.link("/home/u/bin/pytest", "../.local/share/pipx/venvs/pytest/bin/pytest");
    let bundle = fake.build("pytest").unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/.local/share/pipx/venvs/pytest folder ro", "/home/u/proj view rw"]);
    assert_eq!(links(&bundle), ["/home/u/bin/pytest -> ../.local/share/pipx/venvs/pytest/bin/pytest"]);
    assert_eq!(bundle.interpreter.unwrap().found_by, "`/home/u/bin/pytest` in PATH");
}

#[test]
fn a_moved_environments_script_says_so() {
    let fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11");
    fake.script(&format!("{PROJECT}/.venv/bin/pytest"), "#!/old/place/.venv/bin/python\n");
    let (message, hint) = fake.error("pytest");
    assert!(
        message.contains("names `/old/place/.venv/bin/python` as its interpreter, which is not there"),
        "{message}"
    );
    assert!(hint.contains("moved"), "{hint}");
}

#[test]
fn the_user_site_of_a_bare_interpreter_is_shown() {
    let fake = Fake::new();
    fake.script("/home/u/.local/bin/pytest", "#!/usr/bin/python3\n");
    fake.dir("/home/u/.local/lib/python3.11/site-packages/pytest-8.2.0.dist-info");
    let bundle = fake.build("python3 -m pytest").unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/.local/lib/python3.11/site-packages folder ro", "/home/u/proj view rw"]);
    assert_eq!(variable(&bundle, "PYTHONUSERBASE").unwrap(), "/home/u/.local");
}

#[test]
fn editable_installs_are_shown_at_their_own_places() {
    let fake = Fake::new();
    let site = site(&format!("{PROJECT}/.venv"), "3.11");
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11");
    for folder in ["pth", "finder/pkg", "url here", "egg", "gone-not-made"] {
        fake.dir(&format!("/home/u/src/{folder}"));
    }
    fs_err::remove_dir(fake.real("/home/u/src/gone-not-made")).unwrap();
    fake.file(&format!("{site}/a.pth"), "/home/u/src/pth\n/home/u/src/gone-not-made\n/home/u/proj/src\nimport x\n");
    fake.file(&format!("{site}/__editable___b_finder.py"), "MAPPING = {'pkg': '/home/u/src/finder/pkg'}\n");
    fake.file(
        &format!("{site}/c-1.dist-info/direct_url.json"),
        r#"{"url": "file:///home/u/src/url%20here", "dir_info": {"editable": true}}"#,
    );
    fake.file(&format!("{site}/d.egg-link"), "/home/u/src/egg\n.");
    assert_eq!(
        own_lines(&fake.build("pytest").unwrap()),
        [
            "/home/u/proj view rw",
            "/home/u/src/egg folder ro",
            "/home/u/src/finder/pkg folder ro",
            "/home/u/src/pth folder ro",
            "/home/u/src/url here folder ro",
        ]
    );
}

#[test]
fn a_broken_interpreter_names_each_link_and_the_fix() {
    let fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/home/u/.pyenv/versions/3.10.1/bin", "3.10");
    let (message, hint) = fake.error("pytest");
    assert!(
        message.contains("the environment `/home/u/proj/.venv` (found by `/home/u/proj/.venv`) is broken"),
        "{message}"
    );
    let link = "`/home/u/proj/.venv/bin/python` -> `/home/u/.pyenv/versions/3.10.1/bin/python3.10`";
    assert!(message.contains(link) && message.contains("`/home/u/.pyenv` does not exist"), "{message}");
    assert!(hint.contains("python3 -m venv /home/u/proj/.venv"), "{hint}");

    fake.dir("/home/u/.pyenv/versions");
    assert_eq!(fake.error("pytest").1, "install that Python again: `pyenv install 3.10.1`");
}

#[test]
fn a_base_that_is_gone_is_an_error_although_the_program_is_there() {
    let fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11");
    fake.file(&format!("{PROJECT}/.venv/pyvenv.cfg"), "home = /opt/python/bin\nuv = 0.4\n");
    let (message, hint) = fake.error("pytest");
    assert!(message.contains("its Python was in `/opt/python/bin`"), "{message}");
    assert_eq!(hint, "create it again: `uv sync`, or `uv venv --clear`");
}

#[test]
fn a_variable_that_points_nowhere_is_an_error_for_python_and_a_note_for_others() {
    let mut fake = Fake::new();
    fake.set("VIRTUAL_ENV", "/home/u/gone");
    let (message, hint) = fake.error("pytest");
    assert!(message.starts_with("`VIRTUAL_ENV` names the environment `/home/u/gone`, which is not there"), "{message}");
    assert!(hint.contains("deactivate"), "{hint}");
    let bundle = fake.build("make test").unwrap();
    assert!(bundle.interpreter.is_none() && bundle.notes[0].contains("/home/u/gone"), "{:?}", bundle.notes);
    assert_eq!(variable(&bundle, "VIRTUAL_ENV"), None);
}

#[test]
fn without_any_python_the_places_are_listed() {
    let mut fake = Fake::new();
    fake.set("PATH", "/srv/bin").dir(&format!("{PROJECT}/venv"));
    let (message, hint) = fake.error("pytest -x");
    for part in [
        "no Python found for `pytest -x`",
        "VIRTUAL_ENV (not set)",
        "CONDA_PREFIX (not set)",
        "`/home/u/proj/.venv` (not there)",
        "`/home/u/proj/venv` (no pyvenv.cfg)",
        "poetry (no pyproject.toml)",
        "pipenv (no Pipfile)",
        "PATH (no `pytest`)",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(hint.contains("python3 -m venv .venv"), "{hint}");
    assert!(fake.build("/bin/true").unwrap().interpreter.is_none());
}

#[test]
fn an_environment_without_pytest_says_where_it_looked() {
    let fake = Fake::new();
    let venv = format!("{PROJECT}/.venv");
    fake.venv(&venv, "/usr/bin", "3.11");
    fs_err::remove_dir(fake.real(&format!("{}/pytest-8.3.2.dist-info", site(&venv, "3.11")))).unwrap();
    let (message, hint) = fake.error("pytest");
    assert!(message.contains("no pytest in `/home/u/proj/.venv`"), "{message}");
    assert!(message.contains("`/home/u/proj/.venv/lib/python3.11/site-packages`"), "{message}");
    assert_eq!(hint, "install it: `/home/u/proj/.venv/bin/python -m pip install pytest`");
    assert!(fake.build("python script.py").is_ok());
}

#[test]
fn a_command_outside_the_system_is_shown_alone() {
    let fake = Fake::new();
    fake.program("/home/u/bin/tool").file("/home/u/bin/other", "");
    let bundle = fake.build("tool").unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/bin/tool file ro", "/home/u/proj view rw"]);
    assert!(variable(&bundle, "PATH").unwrap().starts_with("/home/u/bin:/usr/local/bin"));
}

#[test]
fn a_wrapper_is_refused_with_the_command_to_use() {
    let (message, hint) = Fake::new().error("uv run pytest -x");
    assert!(message.contains("`uv run` prepares the environment"), "{message}");
    assert!(hint.ends_with("`testbox run -- pytest -x`"), "{hint}");
}
