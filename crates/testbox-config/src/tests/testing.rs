//! How pytest's tests are divided and limited: who asks for what, and which quota comes first.

use testbox_model::{Isolate, QuotaOf};

use super::*;

fn isolate(case: &Case) -> (Isolate, String) {
    let isolate = case.plan().testing.isolate;
    (isolate.value, isolate.origin.to_string())
}

#[test]
fn the_default() {
    let testing = Case::new().plan().testing;
    assert_eq!((testing.isolate.value, testing.jobs.value), (Isolate::Session, 1));
    assert_eq!((testing.test_memory.value, testing.file_memory.value), (None, None));
    assert_eq!(testing.collect_timeout.value, Some(testbox_model::Duration::from_secs(300)));
    assert_eq!((testing.test_timeout.value, testing.teardown_timeout.value), (None, None));
    assert_eq!((testing.max_kills.value, testing.retry_killed.value, testing.memories.value), (10, 0, 0));
    assert!(testing.quotas.value.is_empty());
    assert_eq!(testing.quotas.origin.to_string(), "policy default");
}

#[test]
fn flags_beat_environment_beats_project_file_beats_policy() {
    let case =
        Case::new().file("project/p.toml", "max-kills = 2\n").file("project/testbox.toml", "policy = \"./p.toml\"\n");
    let kills = |case: &Case| case.plan().testing.max_kills.value;
    assert_eq!(kills(&case), 2);
    let case = case.file("project/testbox.toml", "policy = \"./p.toml\"\nmax-kills = 3\n");
    assert_eq!(kills(&case), 3);
    let case = case.variable("TESTBOX_MAX_KILLS", "4");
    assert_eq!(kills(&case), 4);
    assert_eq!(kills(&case.flag("max-kills", "5")), 5);
}

#[test]
fn what_only_some_divisions_can_serve_asks_for_one() {
    let asks = |key, value| isolate(&Case::new().flag(key, value));
    assert_eq!(asks("test-memory", "1G"), (Isolate::Tests(1), "implied by flag --test-memory".to_owned()));
    assert_eq!(asks("file-memory", "1G"), (Isolate::File, "implied by flag --file-memory".to_owned()));
    assert_eq!(asks("jobs", "2").0, Isolate::Session, "several workers need no finer division");
    assert_eq!(asks("jobs", "1"), (Isolate::Session, "policy default".to_owned()));
    assert_eq!(asks("test-memory", "none").0, Isolate::Session);
    let case = Case::new().file("project/testbox.toml", "\ntest-memory = \"1G\"\n");
    let file = case.path("project/testbox.toml");
    assert_eq!(isolate(&case).1, format!("implied by test-memory of {}:2", file.display()));
    let case = Case::new().flag("test-memory", "1G").flag("jobs", "2");
    assert_eq!(isolate(&case).0, Isolate::Tests(1), "several workers are of use to single tests");
    for (variable, value) in [("TESTBOX_JOBS", "2"), ("TESTBOX_TEST_TIMEOUT", "5s")] {
        let case = Case::new().variable(variable, value).file("project/testbox.toml", "test-memory = \"1G\"\n");
        assert_eq!(isolate(&case).0, Isolate::Tests(1), "a weaker source chooses among what serves the stronger one");
    }
    let case = Case::new().flag("jobs", "2").file("project/testbox.toml", "isolate = \"none\"\n");
    assert_eq!(isolate(&case), (Isolate::Session, "implied by flag --jobs".to_owned()));
}

#[test]
fn a_division_that_serves_them_is_left_alone() {
    for (key, value, division) in
        [("jobs", "2", "test"), ("jobs", "2", "7"), ("file-memory", "1G", "file"), ("test-memory", "1G", "1")]
    {
        let (_, origin) = isolate(&Case::new().flag("isolate", division).flag(key, value));
        assert_eq!(origin, "flag --isolate", "{key} {division}");
    }
}

#[test]
fn of_two_sources_the_stronger_one_is_meant() {
    let file = |text: &str| Case::new().file("project/testbox.toml", text);
    let case = file("isolate = \"file\"\n").flag("test-memory", "1G");
    assert_eq!(isolate(&case), (Isolate::Tests(1), "implied by flag --test-memory".to_owned()));
    let case = file("test-memory = \"1G\"\n").flag("isolate", "session");
    assert_eq!(isolate(&case), (Isolate::Session, "flag --isolate".to_owned()));
    let notes = notes(&case.plan());
    assert!(notes.len() == 1 && notes[0].contains("`test-memory`"), "{notes:?}");
    assert!(notes[0].ends_with("has no effect with `isolate = session` (flag --isolate)"), "{notes:?}");
    let case = file("test-memory = \"1G\"\n").flag("file-memory", "2G");
    assert_eq!(isolate(&case).0, Isolate::File);
}

#[test]
fn a_quota_s_division_serves_as_well() {
    let case = Case::new()
        .file("project/testbox.toml", "[quota]\n\"e2e/**\" = { isolate = \"test\" }\n")
        .flag("isolate", "session")
        .flag("test-memory", "1G");
    assert_eq!(isolate(&case).0, Isolate::Session);
    assert!(notes(&case.plan()).is_empty());
}

#[test]
fn without_workers_no_test_has_limits_of_its_own() {
    let case = Case::new().file("project/testbox.toml", "isolate = \"none\"\n").flag("test-timeout", "5s");
    assert_eq!(isolate(&case), (Isolate::Session, "implied by flag --test-timeout".to_owned()));
    let error = Case::new().flag("isolate", "none").flag("teardown-timeout", "5s").error().to_string();
    assert!(error.contains("`--teardown-timeout 5s` contradicts `--isolate none`"), "{error}");
    let case = Case::new().file("project/testbox.toml", "retry-killed = 1\n[quota]\nmarker.a = { pids = 9 }\n");
    let notes = notes(&case.flag("isolate", "none").plan());
    assert!(notes.len() == 2 && notes[0].contains("`retry-killed`") && notes[1].contains("`quota`"), "{notes:?}");
}

#[test]
fn auto_jobs_are_the_cpus_of_the_box() {
    let jobs = |cpus: &str, machine: Machine| {
        let jobs = Case::new().machine(machine).flag("jobs", "auto").flag("cpus", cpus).plan().testing.jobs;
        (jobs.value, jobs.origin.to_string())
    };
    assert_eq!(jobs("all", MACHINE), (4, "machine: 4 CPUs".to_owned()));
    assert_eq!(jobs("2.5", MACHINE), (2, "machine: 2.5 of 4 CPUs".to_owned()));
    assert_eq!(jobs("0.5", MACHINE).0, 1);
    assert_eq!(jobs("4", Machine { usable_cpus: 3, ..MACHINE }), (3, "machine: 3 CPUs".to_owned()));
    assert_eq!(jobs("all", Machine { cpus: 512, usable_cpus: 512, ..MACHINE }).0, 64);
}

#[test]
fn a_short_timeout_need_not_repeat_that_of_the_collection() {
    let plan = Case::new().flag("timeout", "1m").plan();
    assert_eq!(plan.testing.collect_timeout.value, Some(testbox_model::Duration::from_secs(300)));
}

const QUOTAS: &str = "[quota]\n\"tests/**\" = { memory = \"1G\" }\n\"tests/e2e/**\" = { memory = \"25%\", timeout = \"5m\" }\n\
    marker.a = { pids = 9 }\nmarker.slow = { isolate = \"test\" }\n\"t.py::x\" = { isolate = 3 }\n";

#[test]
fn the_most_specific_quota_comes_first() {
    let quotas = Case::new().file("project/testbox.toml", QUOTAS).plan().testing.quotas;
    let of: Vec<_> = quotas.value.iter().map(|quota| quota.of.pattern()).collect();
    assert_eq!(of, ["t.py::x", "slow", "a", "tests/e2e/**", "tests/**"]);
    let e2e = &quotas.value[3];
    assert_eq!(e2e.memory_bytes.unwrap().0, 4 * GIB, "a share of the machine, as elsewhere");
    assert_eq!((e2e.timeout.unwrap().as_ms(), e2e.pids, e2e.isolate), (300_000, None, None));
    assert!(e2e.origin.to_string().ends_with("testbox.toml:3"));
    assert_eq!(quotas.value[0].isolate, Some(Isolate::Tests(3)));
}

#[test]
fn a_project_s_quota_stands_in_place_of_the_policy_s_for_the_same_tests() {
    let policy = "[quota]\n\"tests/**\" = { memory = \"2G\", pids = 9 }\nmarker.b = { pids = 8 }\n";
    let case =
        Case::new().file("project/p.toml", policy).file("project/testbox.toml", QUOTAS).flag("policy", "./p.toml");
    let quotas = case.plan().testing.quotas.value;
    let of = |of: QuotaOf| quotas.iter().find(|quota| quota.of == of).unwrap();
    let tests = of(QuotaOf::Path("tests/**".into()));
    assert_eq!((tests.memory_bytes.unwrap().0, tests.pids), (GIB, None));
    assert_eq!(of(QuotaOf::Marker("b".into())).pids, Some(8));
    assert_eq!(quotas.len(), 6);
}

#[test]
fn no_variable_sets_a_quota() {
    assert!(matches!(Case::new().variable("TESTBOX_QUOTA", "x").error(), ConfigError::UnknownVariable { .. }));
}

#[test]
fn files_of_path_quotas_are_counted_where_somebody_asks() {
    let case = Case::new().file("project/sub/test_a.py", "").file(
        "project/pyproject.toml",
        "[tool.testbox.quota]\n\"sub/*.py\" = { pids = 9 }\n\"sbu/*.py\" = { pids = 9 }\nsub = { pids = 9 }\nmarker.a = { pids = 9 }\n",
    );
    let mut plan = case.plan();
    assert!(plan.testing.quotas.value.iter().all(|quota| quota.files.is_none()));
    count_quota_files(&mut plan);
    let text = describe(&plan);
    for line in [
        "path sub/*.py (1 file): pids 9",
        "path sbu/*.py (matches no file): pids 9",
        "path sub (1 file): pids 9",
        "marker a: pids 9",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
