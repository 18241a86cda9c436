//! The recipes for CI services and the scripts of packages: linted, checked against schemas, and run where they can be.

use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::error::Error;
use crate::program::Program;
use crate::test::checks::{self, Check, Tools, Unmet, expect, program};
use crate::test::part::{Context, Outcome};
use crate::workspace::Workspace;

/// Where everything lies.
struct Places<'a> {
    workspace: &'a Workspace,
    tools: Tools,
    /// An empty folder.
    scratch: PathBuf,
}

const YAML: [&str; 4] = [
    "images/github-action/action.yml",
    "images/ci/gitlab-ci.yml",
    "images/ci/buildkite.yml",
    ".github/workflows/ci.yml",
];
/// Schemas that come with check-jsonschema, and what must keep to them.
const SCHEMAS: [(&str, &str); 4] = [
    ("vendor.github-actions", YAML[0]),
    ("vendor.gitlab-ci", YAML[1]),
    ("vendor.buildkite", YAML[2]),
    ("vendor.github-workflows", YAML[3]),
];
const SCRIPTS: [&str; 4] = ["images/github-action/run.sh", "images/deb/postinst", "images/deb/prerm", ".ci/run"];

/// The checks, cheap ones first.
fn all<'a>() -> [Check<Places<'a>>; 6] {
    [
        Check { name: "yamllint", unmet: tools, run: yamllint },
        Check { name: "schemas of the services", unmet: tools, run: schemas },
        Check { name: "shellcheck", unmet: tools, run: shellcheck },
        Check { name: "the action's script runs testbox", unmet: |_| program("bash"), run: action },
        Check { name: "systemd takes the drop-in", unmet: |_| program("systemd-analyze"), run: drop_in },
        Check { name: "the files that recipes name exist", unmet: |_| None, run: named_files },
    ]
}

/// Does the checks.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let scratch = Cache::open(context.workspace)?.fresh("recipes")?;
    Ok(checks::run(&all(), &Places { workspace: context.workspace, tools: Tools::of(context.workspace), scratch }))
}

fn tools(places: &Places<'_>) -> Option<Unmet> {
    places.tools.unmet("lint")
}

/// A program of the environment with the tools.
fn tool(places: &Places<'_>, name: &str) -> Result<Program, Error> {
    Ok(places.tools.program(name)?.dir(&places.workspace.root))
}

fn yamllint(places: &Places<'_>) -> Result<(), Error> {
    tool(places, "yamllint")?.args(["--strict", "-c", "images/ci/yamllint.yml"]).args(YAML).stdout().map(drop)
}

fn schemas(places: &Places<'_>) -> Result<(), Error> {
    for (schema, file) in SCHEMAS {
        tool(places, "check-jsonschema")?.args(["--builtin-schema", schema, file]).stdout()?;
    }
    Ok(())
}

fn shellcheck(places: &Places<'_>) -> Result<(), Error> {
    tool(places, "shellcheck")?.args(SCRIPTS).stdout().map(drop)
}

/// With programs in the places of sudo and testbox that say how they were called.
fn action(places: &Places<'_>) -> Result<(), Error> {
    let said = |name: &str| format!("#!/bin/sh\nfor word; do printf '{name}<%s>\\n' \"$word\"; done\n");
    let testbox = places.scratch.join("testbox");
    executable(&testbox, &said("testbox"))?;
    executable(&places.scratch.join("sudo"), "#!/bin/sh\nexec \"$@\"\n")?;
    let script = places.workspace.root.join(SCRIPTS[0]);
    let called = |command: &str| {
        Program::new("bash")
            .arg(&script)
            .env("PATH", crate::program::path_after(&places.scratch))
            .clean_env()
            .env("TESTBOX_ACTION_BINARY", "testbox")
            .env("TESTBOX_ACTION_FLAGS", "--memory 3G")
            .env("TESTBOX_ACTION_COMMAND", command)
    };
    let words = called("python -m pytest $(touch planted) *").stdout()?;
    let wanted = ["run", "--memory", "3G", "--", "python", "-m", "pytest", "$(touch", "planted)", "*"];
    let wanted: String = wanted.iter().map(|word| format!("testbox<{word}>\n")).collect();
    expect(words == wanted, || format!("testbox was called with\n{words}"))?;
    let empty = called(" ").capture()?;
    expect(empty.status.code() == Some(2), || format!("an empty command ended with {}", empty.status))
}

fn executable(path: &Path, text: &str) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::write(path, text)?;
    Ok(fs_err::set_permissions(path, PermissionsExt::from_mode(0o755))?)
}

/// systemd complains about keys and values that it does not know, and goes on.
fn drop_in(places: &Places<'_>) -> Result<(), Error> {
    let unit = places.scratch.join("runner.service");
    fs_err::write(&unit, "[Service]\nExecStart=/bin/true\n")?;
    let folder = places.scratch.join("runner.service.d");
    fs_err::create_dir_all(&folder)?;
    fs_err::copy(places.workspace.root.join("images/ci/runner-delegate.conf"), folder.join("testbox.conf"))?;
    let ended = Program::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).capture()?;
    let told = ended.both();
    let about_it = told.lines().any(|line| line.contains("testbox.conf"));
    expect(ended.status.success() && !about_it, || format!("systemd-analyze says ({}):\n{told}", ended.status))
}

fn named_files(places: &Places<'_>) -> Result<(), Error> {
    let root = &places.workspace.root;
    for recipe in ["gitlab-ci.yml", "buildkite.yml", "Jenkinsfile"] {
        let text = fs_err::read_to_string(root.join("images/ci").join(recipe))?;
        expect(text.contains("runner-delegate.conf"), || format!("{recipe} does not say how to delegate"))?;
        expect(text.contains(".testbox/last"), || format!("{recipe} keeps no report"))?;
    }
    expect(root.join("images/ci/runner-delegate.conf").exists(), || "no images/ci/runner-delegate.conf".to_owned())
}
