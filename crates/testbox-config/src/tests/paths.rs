//! What paths mean where they are typed, and which are refused.

use super::*;

#[test]
fn relative_paths_belong_to_the_place_where_they_are_typed() {
    let case = Case::new()
        .file("project/testbox.toml", "ro = [\"sub/../sub\", \"~/data\"]\nhide = [\"secret\"]\nreport-dir = \"r\"\n")
        .in_folder("project/sub")
        .flag("rw", "../../outside")
        .flag("hide", "here");
    let view = case.plan().view;
    assert_eq!(view.ro.value, [case.path("project/sub"), case.path("home/data")]);
    assert_eq!(view.rw.value, [case.path("outside")]);
    assert_eq!(view.hide.value, [case.path("project/secret"), case.path("project/sub/here")]);
    assert_eq!(case.plan().reports.dir.value, case.path("project/r"));
    let case = case.variable("TESTBOX_REPORT_DIR", "v");
    assert_eq!(case.plan().reports.dir.value, case.path("project/sub/v"));
    let case = Case::new().flag("policy", "strict").in_folder("project/sub").flag("hide", "here");
    let (view, own) = (case.plan().view, case.path("project/sub/here"));
    let hide = view.hide.value;
    assert!(hide.iter().any(|path| path.ends_with("project/.env")), "a policy's paths are the project's: {hide:?}");
    assert!(
        hide.contains(&own) && view.hide_named == [own],
        "only the user's own path is named: {:?}",
        view.hide_named
    );
}

#[test]
fn a_tilde_is_the_home_directory_in_files_only() {
    let case = Case::new().file("project/testbox.toml", "ro = [\"~/data\"]\n");
    assert_eq!(case.plan().view.ro.value, [case.path("home/data")]);
    let mut homeless = Case::new().file("project/testbox.toml", "ro = [\"~/data\"]\n");
    homeless.request.home = None;
    assert!(matches!(homeless.error(), ConfigError::NoHome { .. }));
    assert!(matches!(Case::new().flag("ro", "~/data").error(), ConfigError::PathMissing { .. }));
}

#[test]
fn paths_that_the_box_must_not_get() {
    for (key, path) in
        [("ro", "/"), ("rw", "/"), ("ro", "/proc/self"), ("rw", "/dev/shm"), ("ro", "/sys"), ("rw", "../project")]
    {
        let error = Case::new().flag(key, path).error();
        assert!(matches!(error, ConfigError::PathRefused { .. }) && error.hint().is_some(), "{key} {path}: {error}");
    }
    let case = Case::new();
    std::os::unix::fs::symlink("/proc", case.path("project/link")).unwrap();
    assert!(matches!(case.flag("ro", "link").error(), ConfigError::PathRefused { .. }));
    assert!(matches!(Case::new().flag("ro", "missing").error(), ConfigError::PathMissing { .. }));
}

#[test]
fn the_project_cannot_be_hidden() {
    for path in [".", "..", "/", "../sub/../project"] {
        assert!(matches!(Case::new().flag("hide", path).error(), ConfigError::PathRefused { .. }), "{path}");
    }
    let case = Case::new().in_folder("project/sub").flag("hide", "../sub");
    assert!(matches!(case.error(), ConfigError::PathRefused { .. }), "the working directory");
    assert_eq!(Case::new().flag("hide", "sub").plan().view.hide.value.len(), 1);
}

#[test]
fn cwd_as_a_flag_works_as_if_started_there() {
    let case = Case::new().in_folder("home").flag("cwd", "../project/sub");
    let plan = case.plan();
    assert_eq!((plan.project, plan.cwd), (case.path("project"), case.path("project/sub")));
    assert!(matches!(Case::new().flag("cwd", "missing").error(), ConfigError::PathMissing { .. }));
    let case = Case::new().file("project/file", "").flag("cwd", "file");
    assert!(matches!(case.error(), ConfigError::PathRefused { .. }));
}

#[test]
fn cwd_in_a_file_stays_in_the_project() {
    let case = Case::new().file("project/testbox.toml", "cwd = \"sub\"\n");
    assert_eq!(case.plan().cwd, case.path("project/sub"));
    assert_eq!(case.flag("cwd", ".").plan().cwd.file_name().unwrap(), "project", "the flag is stronger");
    let case = Case::new().file("project/testbox.toml", "cwd = \"../outside\"\n");
    assert!(matches!(case.error(), ConfigError::CwdOutside { .. }));
}

#[test]
fn report_folders_that_would_do_harm() {
    for path in [".", "..", "/"] {
        assert!(matches!(Case::new().flag("report-dir", path).error(), ConfigError::PathRefused { .. }), "{path}");
    }
    let case = Case::new().file("project/file", "").flag("report-dir", "file");
    assert!(matches!(case.error(), ConfigError::PathRefused { .. }));
}

#[test]
fn the_home_directory_is_no_project() {
    let error = Case::new().in_folder("home").error();
    assert!(error.to_string().contains("it is the home directory") && error.hint().is_some(), "{error}");
}
