//! What people type, and what testbox makes of it.

use clap::CommandFactory;
use testbox_config::Layer;

use super::*;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    parse_from(std::iter::once("testbox").chain(line.split(' ')).map(OsString::from).collect())
}

fn run(line: &str) -> RunArgs {
    match parsed(line).unwrap_or_else(|error| panic!("{error}")).command {
        Command::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

fn error(line: &str) -> String {
    let error = parsed(line).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

fn help_of(line: &str) -> String {
    let error = parsed(line).unwrap_err();
    assert_eq!(error.exit_code(), 0, "{error}");
    error.to_string()
}

#[test]
fn clap_finds_no_fault() {
    Cli::command().debug_assert();
    command().debug_assert();
}

#[test]
fn the_command_may_stand_with_and_without_dashes() {
    for line in ["run -- pytest -x --memory 1", "run pytest -x --memory 1", "run --pids 9 pytest -x --memory 1"] {
        assert_eq!(run(line).command, ["pytest", "-x", "--memory", "1"], "{line}");
    }
    assert_eq!(run("run -- -x").command, ["-x"]);
}

#[test]
fn a_mistyped_flag_is_never_the_command() {
    assert!(error("run --memry 2G -- pytest").contains("'--memory'"));
    assert!(error("run").contains("COMMAND"));
    assert!(error("run --memory 2G").contains("COMMAND"));
}

#[test]
fn every_key_is_a_flag_of_run_and_of_bundle() {
    let command = Cli::command();
    for name in ["run", "bundle"] {
        let subcommand = command.find_subcommand(name).unwrap();
        let longs: Vec<&str> = subcommand.get_arguments().filter_map(clap::Arg::get_long).collect();
        for key in Layer::KEYS.iter().map(|key| key.name).filter(|key| *key != "verbosity") {
            assert!(longs.contains(&key), "{name} --{key}");
        }
    }
}

#[test]
fn every_flag_reaches_the_layer() {
    let line = "run --memory 2G --swap 1 --pids 9 --cpus 1.5 --nofile 99 --io-read 5M --io-write 6M --tmp-size 64M \
                --output-limit 1M --fsize none --timeout 9s --idle-timeout 5s --grace 1s \
                --isolate test -j 2 --test-memory 1G --file-memory none --collect-timeout 3s --test-timeout 2s \
                --teardown-timeout 1s --max-kills 3 --retry-killed 1 --memories 5 --write --ro a --rw b --hide c \
                --output *.xml --env A --env B=1 --cwd d --net host --policy open --seccomp strict \
                --allow-degraded memory,pids --allow-degraded io --no-project-file --no-plugin --report-dir r --json - -vv --no-color \
                --tty --raw-output -- x";
    let layer = run(&line.split_whitespace().collect::<Vec<_>>().join(" ")).layer();
    for key in Layer::KEYS {
        assert!(layer.text(key.name).is_some(), "{}", key.name);
    }
    assert_eq!(layer.text("env").unwrap(), "A B=1");
    assert_eq!(layer.text("allow-degraded").unwrap(), "memory pids io");
    assert_eq!(layer.memory.unwrap().origin.to_string(), "flag --memory");
    assert_eq!(layer.verbosity.unwrap().value.value.0, 2);
}

#[test]
fn nothing_typed_is_an_empty_layer() {
    let layer = run("run -- x").layer();
    assert!(Layer::KEYS.iter().all(|key| layer.text(key.name).is_none()));
}

#[test]
fn switches_can_be_switched_off() {
    assert!(!run("run --write=false -- x").layer().write.unwrap().value.value.0);
    assert!(run("run --write x").layer().write.unwrap().value.value.0, "the next word is the command");
}

#[test]
fn wrong_values_name_flag_value_accepted_forms_and_nearest() {
    for (line, parts) in [
        ("run --memory 2gigs x", ["--memory <SIZE>", "2gigs", "512M or 2GiB", "did you mean `2G`"]),
        ("run --memory -1G x", ["--memory <SIZE>", "-1G", "or `auto`", "is not a size"]),
        ("run --pids -5 x", ["--pids <N>", "-5", "whole numbers", "is not a count"]),
        ("run --timeout 90 x", ["--timeout <DUR>", "90", "1h30m", "did you mean `90s`"]),
        ("run --net hots x", ["--net <NET>", "hots", "none, host", "similar value exists: 'host'"]),
        ("run --allow-degraded memroy x", ["--allow-degraded <WALL>", "memroy", "capabilities", "'memory'"]),
        ("run --env =x x", ["--env <NAME[=VALUE]>", "=x", "NAME=VALUE", "is not a rule"]),
        ("run --output ../x x", ["--output <GLOB>", "../x", "without `..`", "is not a glob"]),
        ("run --isolate tset x", ["--isolate <DIVISION>", "tset", "numbers of tests", "did you mean `test`"]),
        ("run --isolate 0 x", ["--isolate <DIVISION>", "`0` is not", "from 1 to", "did you mean `test`"]),
        ("run -j atuo x", ["--jobs <N>", "atuo", "or `auto`", "did you mean `auto`"]),
        ("run --test-memory -1 x", ["--test-memory <SIZE>", "`-1` is not a size", "512M or 2GiB", "or `none`"]),
        (
            "run --test-timeout 0s x",
            ["--test-timeout <DUR>", "`0s` is not a duration", "or `none`", "did you mean `1s`"],
        ),
        ("run --max-kills -3 x", ["--max-kills <N>", "`-3` is not a count", "whole numbers", "like 512"]),
        ("run --json file x", ["--json <TARGET>", "file", "stdout", "did you mean `-`"]),
    ] {
        let message = error(line);
        for part in parts {
            assert!(message.contains(part), "{line}: `{part}` in {message}");
        }
    }
    assert!(error("run -q -v x").contains("cannot be used with"));
}

#[test]
fn help_shows_the_defaults_of_the_policy() {
    let text = help_of("run --help");
    for part in
        ["[default: auto]", "[default: 512]", "[default: 30m]", "[default: .testbox/last]", "Example: --memory 2G"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(help_of("run -h").contains("[default: 512]"));
    assert!(help_of("--help").contains("testbox help exit-codes"));
}

#[test]
fn every_flag_says_what_it_is_in_one_line() {
    for subcommand in Cli::command().get_subcommands() {
        for arg in subcommand.get_arguments() {
            let help = arg.get_help().unwrap_or_else(|| panic!("{} {}", subcommand.get_name(), arg.get_id()));
            assert!(!help.to_string().ends_with('.') && help.to_string().len() < 110, "{help}");
        }
    }
}

#[test]
fn help_takes_topics_and_subcommands() {
    let text = |words: &[&str]| help(&HelpArgs { words: words.iter().map(ToString::to_string).collect() });
    assert!(text(&["exit-codes"]).unwrap().contains("124"));
    assert!(text(&["policy"]).unwrap().contains("memory = \"auto\""));
    assert!(text(&["run"]).unwrap().contains("Usage: testbox run"));
    assert!(text(&[]).unwrap().contains("Usage: testbox"));
    let error = text(&["exit-code"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("did you mean `exit-codes`?"), "{error}");
}

#[test]
fn completions_know_every_shell_and_flag() {
    use clap_complete::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut text = Vec::new();
        completions(shell, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("allow-degraded") && text.contains("namespaces"), "{shell}");
    }
}

#[test]
fn a_man_page_for_each_subcommand() {
    let dir = tempfile::tempdir().unwrap();
    let pages = man_pages(&dir.path().join("man1")).unwrap();
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    assert!(names.contains(&"testbox.1") && names.contains(&"testbox-run.1"), "{names:?}");
    let page = fs_err::read_to_string(dir.path().join("man1/testbox-run.1")).unwrap();
    assert!(page.contains(r"\-\-memory") && page.contains("[default: 512]"));
    let mut main = Vec::new();
    man_page(&mut main).unwrap();
    assert!(!main.is_empty());
}
