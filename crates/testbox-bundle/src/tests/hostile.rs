//! Files of a hostile project or package that name what must not be shown.

use std::path::Path;

use super::fixture::{Fake, PROJECT, own_lines, plan, set, site, told};

fn with_pth(line: &str) -> Fake {
    let fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11");
    fake.file(&format!("{}/x.pth", site(&format!("{PROJECT}/.venv"), "3.11")), &format!("{line}\n"));
    fake
}

#[test]
fn pth_lines_cannot_show_home_system_or_secrets() {
    for (line, why) in [
        ("/", "the home folder lies below it"),
        ("/home/u", "it is the home folder"),
        ("../../../../..", "it is the home folder"),
        ("/home", "the home folder lies below it"),
        ("/etc", "it is a top folder of the system"),
        ("/home/u/.ssh", "`~/.ssh` may hold secrets"),
        ("/home/u/link", "`~/.ssh` may hold secrets"),
    ] {
        let fake = with_pth(line);
        fake.link("/home/u/link", ".ssh");
        let (message, hint) = fake.error("pytest");
        assert!(message.contains("/x.pth` names `") && message.contains(why), "{line}: {message}");
        assert!(hint.contains("allow it with `--ro "), "{hint}");
        let bundle = fake.build("make").unwrap();
        assert!(bundle.notes[0].contains(why), "{:?}", bundle.notes);
        assert_eq!(own_lines(&bundle), ["/home/u/proj view rw"]);
    }
}

#[test]
fn a_flag_allows_what_a_file_may_not() {
    let fake = with_pth("/home/u/.secret/code");
    fake.dir("/home/u/.secret/code");
    let mut plan = fake.plan("pytest");
    plan.view.ro = set(vec!["/home/u/.secret/code".into()]);
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/.secret/code folder ro", "/home/u/proj view rw"]);
}

#[test]
fn pyvenv_cfg_cannot_name_a_folder_that_is_no_python() {
    for (home, part) in [
        ("/", "is not in a Python installation"),
        ("/etc", "is not in a Python installation"),
        ("/home/u/.ssh", "is not in a Python installation"),
        ("/home/u/.config/x/bin", "`~/.config` may hold secrets"),
    ] {
        let fake = Fake::new();
        fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11").python("/home/u/.config/x", "3.11");
        fake.file(&format!("{PROJECT}/.venv/pyvenv.cfg"), &format!("home = {home}\n"));
        let (message, _) = fake.error("pytest");
        assert!(message.contains(part), "{home}: {message}");
    }
}

#[test]
fn an_environment_cannot_name_secrets_as_its_programs() {
    let fake = Fake::new();
    let venv = format!("{PROJECT}/.venv");
    fake.venv(&venv, &format!("{PROJECT}/py/bin"), "3.11").python(&format!("{PROJECT}/py"), "3.11");
    fs_err::remove_file(fake.real(&format!("{PROJECT}/py/bin/python3"))).unwrap();
    fake.link(&format!("{PROJECT}/py/bin/python3"), "/home/u/.ssh/id");
    let text = format!("home = {PROJECT}/py/bin\nexecutable = /home/u/.ssh/id\n");
    fake.file(&format!("{venv}/pyvenv.cfg"), &text);
    assert_eq!(own_lines(&fake.build("pytest").unwrap()), ["/home/u/proj view rw"]);

    fs_err::remove_file(fake.real(&format!("{venv}/bin/python"))).unwrap();
    fake.link(&format!("{venv}/bin/python"), "/home/u/.ssh/id");
    assert!(fake.error("pytest").0.contains("is not in a Python installation"));
}

#[test]
fn a_link_of_the_project_to_a_hidden_folder_is_no_environment() {
    let fake = Fake::new();
    fake.venv("/home/u/.config/app", "/usr/bin", "3.11").link(&format!("{PROJECT}/.venv"), "/home/u/.config/app");
    let (message, hint) = fake.error("pytest");
    assert!(message.contains("`~/.config` may hold secrets"), "{message}");
    assert!(hint.contains("--ro /home/u/proj/.venv"), "{hint}");
}

#[test]
fn a_guard_never_shows_where_a_link_of_the_project_leads() {
    let fake = Fake::new();
    fake.link(&format!("{PROJECT}/pyproject.toml"), "/home/u/.ssh/id");
    let mut plan = fake.plan("/bin/true");
    plan.view.write = set(true);
    let bundle = crate::build(&plan, &fake.host).unwrap();
    assert_eq!(own_lines(&bundle), ["/home/u/proj folder rw"]);
    assert!(bundle.notes[0].contains("`/home/u/proj/pyproject.toml` is a symbolic link"), "{:?}", bundle.notes);
}

#[test]
fn the_home_folder_is_known_by_all_its_names() {
    let fake = with_pth("/var/people/u");
    fs_err::create_dir_all(fake.real("/var/people")).unwrap();
    fs_err::rename(fake.real("/home/u"), fake.real("/var/people/u")).unwrap();
    fake.link("/home/u", "/var/people/u");
    assert!(fake.error("pytest").0.contains("it is the home folder"));
}

#[test]
fn a_venv_in_the_home_folder_itself_is_refused() {
    let mut fake = Fake::new();
    fake.venv("/home/u", "/usr/bin", "3.11");
    fake.set("VIRTUAL_ENV", "/home/u");
    let (message, hint) = fake.error("pytest");
    assert!(message.contains("`/home/u` (named by VIRTUAL_ENV) cannot be shown in the box"), "{message}");
    assert!(hint.contains("folder of its own"), "{hint}");
}

#[test]
fn links_in_circles_and_odd_files_are_no_way_in() {
    let fake = Fake::new();
    let venv = format!("{PROJECT}/.venv");
    fake.venv(&venv, "/usr/bin", "3.11").link("/srv/a", "/srv/b").link("/srv/b", "/srv/a");
    let folder = site(&venv, "3.11");
    fake.file(&format!("{folder}/a.pth"), "/srv/a\n").dir(&format!("{folder}/folder.pth"));
    fake.file(&format!("{folder}/b-1.dist-info/direct_url.json"), "{\"url\": [1], \"dir_info\": 3}");
    fake.file(&format!("{folder}/__editable___c_finder.py"), "MAPPING = {'unclosed");
    fake.link(&format!("{folder}/d.pth"), "/nowhere");
    assert_eq!(own_lines(&fake.build("pytest").unwrap()), ["/home/u/proj view rw"]);
    fs_err::remove_file(fake.real(&format!("{venv}/bin/python"))).unwrap();
    fs_err::remove_file(fake.real(&format!("{venv}/bin/python3"))).unwrap();
    fake.link(&format!("{venv}/bin/python"), "python");
    assert!(fake.error("pytest").0.contains("more than 40 symbolic links"));
}

#[test]
fn python_path_is_held_to_the_same_rules() {
    let mut fake = Fake::new();
    fake.venv(&format!("{PROJECT}/.venv"), "/usr/bin", "3.11").dir("/srv/lib");
    fake.set("PYTHONPATH", "/srv/lib:/home/u");
    assert_eq!(own_lines(&fake.build("pytest").unwrap()), ["/home/u/proj view rw"]);
    let mut plan = fake.plan("pytest");
    plan.env.value.push(testbox_model::EnvRule::Pass("PYTHONPATH".into()));
    let (message, _) = told(&crate::build(&plan, &fake.host).unwrap_err());
    assert!(message.contains("`PYTHONPATH` names `/home/u`"), "{message}");
    fake.set("PYTHONPATH", "/srv/lib");
    assert_eq!(own_lines(&crate::build(&plan, &fake.host).unwrap()), ["/home/u/proj view rw", "/srv/lib folder ro"]);
}

#[test]
fn projects_that_are_no_projects_are_refused() {
    let fake = Fake::new();
    fake.dir("/tmp").dir("/proc/self").file("/srv/file", "").dir("/var/log/tool");
    for (path, part) in [
        ("/", "the home folder lies below it"),
        ("/home/u", "it is the home folder"),
        ("/home", "the home folder lies below it"),
        ("/tmp", "it is a top folder of the system"),
        ("/proc/self", "the box has a `/proc` of its own"),
        ("/srv/file", "cannot read the project"),
        ("/srv/nope", "`/srv/nope` does not exist"),
    ] {
        let error = crate::build(&plan(vec!["/bin/true".into()], Path::new(path)), &fake.host).unwrap_err();
        let (message, hint) = told(&error);
        assert!(message.contains(part), "{path}: {message}");
        assert!(!hint.is_empty(), "{path}");
    }
    assert!(crate::build(&plan(vec!["/bin/true".into()], Path::new("/var/log/tool")), &fake.host).is_ok());
    let mut outside = fake.plan("/bin/true");
    outside.cwd = "/srv".into();
    assert!(told(&crate::build(&outside, &fake.host).unwrap_err()).0.contains("is not in the project"));
}
