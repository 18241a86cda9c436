//! Who beats whom, and what is added to what.

use testbox_model::{EnvRule, Net};

use super::*;

#[test]
fn flags_beat_environment_beats_project_file_beats_policy() {
    let pids = |case: &Case| {
        let pids = case.plan().limits.pids;
        (pids.value, pids.origin.to_string())
    };
    let case = Case::new();
    assert_eq!(pids(&case), (512, "policy default".to_owned()));
    let case = case.flag("policy", "strict");
    assert_eq!(pids(&case), (128, "policy strict".to_owned()));
    let case = Case::new().flag("policy", "open").file("project/testbox.toml", "# mine\npids = 300\n");
    assert_eq!(pids(&case), (300, format!("{}:2", case.path("project/testbox.toml").display())));
    let case = case.variable("TESTBOX_PIDS", "200");
    assert_eq!(pids(&case), (200, "environment TESTBOX_PIDS".to_owned()));
    let case = case.flag("pids", "100");
    assert_eq!(pids(&case), (100, "flag --pids".to_owned()));
}

#[test]
fn the_nearest_project_file_counts_alone() {
    let pyproject = "[project]\nname = \"x\"\n[tool.testbox]\npids = 300\n";
    let case = Case::new().file("project/pyproject.toml", pyproject).in_folder("project/sub");
    assert_eq!(case.plan().limits.pids.value, 300);
    let case = case.file("project/sub/testbox.toml", "nofile = 100\n");
    assert_eq!((case.plan().limits.pids.value, case.plan().limits.nofile.value), (512, 100));
    let case = case.file("project/sub/testbox.toml", "");
    assert_eq!(case.plan().limits.pids.value, 300, "an empty file has no settings");
}

#[test]
fn files_outside_the_project_do_not_count() {
    let case = Case::new().file("testbox.toml", "pids = 300\n");
    assert_eq!(case.plan().limits.pids.value, 512);
}

#[test]
fn lists_are_added_to_and_know_who_added() {
    let case = Case::new().file("project/testbox.toml", "env = [\"A\", \"B=1\"]\n").flag("env", "B=2");
    let env = case.plan().env;
    assert!(env.value.contains(&EnvRule::Pass("LANG".to_owned())));
    assert_eq!(env.value.last().unwrap().to_string(), "B=2", "the strongest rule is the last");
    let toml = case.path("project/testbox.toml");
    assert_eq!(env.origin.to_string(), format!("flag --env + {}:1 + policy default", toml.display()));
}

#[test]
fn a_repeated_item_keeps_its_strongest_place() {
    let case = Case::new().file("project/testbox.toml", "env = [\"B=1\", \"B=2\"]\n").flag("env", "B=1");
    assert_eq!(case.plan().env.value.last().unwrap().to_string(), "B=1");
}

#[test]
fn a_list_of_a_policy_stands_in_place_of_the_default() {
    let env = Case::new().flag("policy", "strict").plan().env;
    assert!(!env.value.contains(&EnvRule::Pass("PYTHONPATH".to_owned())));
    assert_eq!(env.origin.to_string(), "policy strict");
}

#[test]
fn a_policy_file_says_only_what_differs() {
    let case = Case::new().file("project/ci.toml", "\npids = 64\n").flag("policy", "./ci.toml");
    let limits = case.plan().limits;
    assert_eq!(limits.pids.origin.to_string(), format!("policy {}:2", case.path("project/ci.toml").display()));
    assert_eq!(limits.nofile.origin.to_string(), "policy default");
}

#[test]
fn a_project_file_may_name_the_policy_and_a_flag_overrides_it() {
    let case = Case::new().file("project/testbox.toml", "policy = \"open\"\n");
    let plan = case.plan();
    assert_eq!((plan.policy.value.as_str(), plan.net.value), ("open", Net::Host));
    assert_eq!(case.flag("policy", "default").plan().net.value, Net::None);
}

#[test]
fn a_stranger_s_project_file_has_no_say_under_the_strict_policy() {
    let hostile = "net = \"host\"\nwrite = true\nrw = [\"~/data\"]\npids = 30000\nno-such-key = 1\n";
    let case = Case::new().file("project/testbox.toml", hostile).flag("policy", "strict");
    let plan = case.plan();
    assert_eq!((plan.net.value, plan.view.write.value, plan.limits.pids.value), (Net::None, false, 128));
    assert!(plan.view.rw.value.is_empty());
    let case = Case::new().file("project/testbox.toml", hostile).flag("no-project-file", "true");
    assert_eq!(case.plan().net.value, Net::None);
}

#[test]
fn walls_opened_by_the_project_file_are_noted() {
    let text = "net = \"host\"\nrw = [\"~/data\"]\nenv = [\"SECRET\"]\nallow-degraded = [\"io\"]\n";
    let notes = notes(&Case::new().file("project/testbox.toml", text).plan());
    for key in ["`net`", "`rw`", "`env`", "`allow-degraded`"] {
        assert!(notes.iter().any(|note| note.starts_with(key)), "{key} in {notes:?}");
    }
    assert!(
        super::notes(&Case::new().file("project/testbox.toml", "env = [\"A=1\"]\nhide = [\"x\"]\n").plan()).is_empty()
    );
}

#[test]
fn no_color_is_heard() {
    let color = |case: Case| {
        let color = case.plan().terminal.color;
        (color.value, color.origin.to_string())
    };
    assert_eq!(color(Case::new().variable("NO_COLOR", "1")), (false, "environment NO_COLOR".to_owned()));
    assert_eq!(color(Case::new().variable("NO_COLOR", "")), (true, "policy default".to_owned()));
    assert_eq!(color(Case::new().flag("no-color", "true")), (false, "flag --no-color".to_owned()));
}

#[test]
fn the_terminal_s_settings_know_their_origins() {
    let case = Case::new().flag("json", "-").flag("tty", "true").variable("TESTBOX_VERBOSITY", "quiet");
    let plan = case.plan();
    assert_eq!(plan.reports.json_to_stdout.origin.to_string(), "flag --json");
    let text = describe(&plan);
    for words in [
        ["json", "-", "(flag --json)"],
        ["tty", "true", "(flag --tty)"],
        ["verbosity", "quiet", "(environment TESTBOX_VERBOSITY)"],
        ["no-color", "false", "(policy default)"],
        ["raw-output", "false", "(policy default)"],
    ] {
        let expected = |line: &str| line.split("  ").map(str::trim).filter(|word| !word.is_empty()).eq(words);
        assert!(text.lines().any(expected), "{words:?} in {text}");
    }
}

#[test]
fn files_that_the_command_promises_are_carried_out() {
    let command = ["python", "-m", "pytest", "--junitxml=out/x.xml", "--html=/elsewhere/x.html"];
    let plan = Case::new().command(&command).plan();
    assert!(plan.view.outputs.value.contains(&"out/x.xml".to_owned()));
    assert_eq!(plan.view.outputs.origin.to_string(), "command --junitxml + policy default");
    let notes = notes(&plan);
    assert!(notes.len() == 1 && notes[0].contains("`--html` writes `/elsewhere/x.html`"), "{notes:?}");
}

#[test]
fn a_short_timeout_need_not_repeat_the_policy() {
    let times = Case::new().flag("timeout", "1s").plan().times;
    assert_eq!((times.timeout.value.ms, times.grace.value.ms), (1000, 2000));
}
