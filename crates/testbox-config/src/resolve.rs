//! From a request to the plan: flags beat the environment, which beats the project file, which beats the policy.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use testbox_model::{RunPlan, Setting};

use crate::anchor::{Base, Tilde};
use crate::element::NameOrFile;
use crate::place::{Given, given};
use crate::project::Project;
use crate::{ConfigError, Layer, Machine, element, environment, policy, project_file};

/// Everything that a plan is made of, beside the files that [`resolve`] finds itself.
#[derive(Debug, Clone)]
pub struct Request {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// What was typed on the command line.
    pub flags: Layer,
    /// The directory testbox was started in, absolute.
    pub cwd: PathBuf,
    /// The environment of testbox.
    pub environment: Vec<(OsString, OsString)>,
    /// The machine that bounds the limits.
    pub machine: Machine,
    /// The home directory, which is never the project.
    pub home: Option<PathBuf>,
}

/// Resolves everything that decides a run; reads files, starts and changes nothing.
///
/// # Errors
/// The first mistake found, with its place and what is accepted.
pub fn resolve(request: &Request) -> Result<RunPlan, ConfigError> {
    if request.command.first().is_none_or(|program| program.is_empty()) {
        return Err(ConfigError::NoCommand);
    }
    let home = request.home.as_deref().filter(|home| home.is_absolute());
    let typed = Base { folder: &request.cwd, tilde: Tilde::Literal };
    let flags = request.flags.clone().anchored(typed)?;
    let variables = environment::read(&request.environment)?.anchored(typed)?;
    let project = find_project(&flags, &request.cwd, home)?;
    let file = if ignores_project_file(&flags, &project, home)? {
        Layer::default()
    } else {
        project_file::read(&project, home)?
    };
    let project = if flags.cwd.is_some() { project } else { project.with_cwd(&file)? };
    let stated = flags.over(variables).over(file);
    let policy = policy_of(&stated, &project, home)?;
    plan(request, &stated.over(policy), project)
}

/// The command line has the last word on whether the project has a say: by its flag, or by the policy that it names.
fn ignores_project_file(flags: &Layer, project: &Project, home: Option<&Path>) -> Result<bool, ConfigError> {
    if flags.policy.is_none() && flags.no_project_file.is_none() {
        return Ok(false);
    }
    let layer = flags.clone().over(policy_of(flags, project, home)?);
    Ok(given("no-project-file", &layer.no_project_file)?.value().0)
}

fn policy_of(layer: &Layer, project: &Project, home: Option<&Path>) -> Result<Layer, ConfigError> {
    let chosen = layer.policy.as_ref().map(|setting| Given { key: "policy", setting });
    policy::load(chosen.as_ref(), project, home)
}

/// `--cwd` works as if testbox had been started there.
fn find_project(flags: &Layer, cwd: &Path, home: Option<&Path>) -> Result<Project, ConfigError> {
    if flags.cwd.is_none() {
        return Project::find(cwd, home);
    }
    let typed = given("cwd", &flags.cwd)?;
    let path = &typed.value().0;
    if !path.try_exists().map_err(ConfigError::Read)? {
        return Err(ConfigError::PathMissing { place: typed.place(), path: path.clone() });
    }
    if !path.is_dir() {
        return Err(ConfigError::PathRefused {
            place: typed.place(),
            path: path.clone(),
            why: "it is not a folder",
            fix: "name the folder that the command shall start in".to_owned(),
        });
    }
    Project::find(path, home)
}

fn plan(request: &Request, layer: &Layer, project: Project) -> Result<RunPlan, ConfigError> {
    let net = given("net", &layer.net)?;
    let no_plugin = given("no-plugin", &layer.no_plugin)?;
    let limits = element::limits(layer, &request.machine)?;
    Ok(RunPlan {
        command: request.command.clone(),
        policy: policy_name(layer),
        times: element::times(layer)?,
        testing: element::testing(layer, &request.machine, &limits)?,
        limits,
        view: element::view(layer, &project, &request.command)?,
        no_plugin: no_plugin.resolved(no_plugin.value().0),
        env: element::env(layer),
        net: net.resolved(*net.value()),
        seccomp: element::seccomp(layer)?,
        allow_degraded: element::allow_degraded(layer),
        reports: element::reports(layer, &project)?,
        terminal: element::terminal(layer, &request.environment)?,
        project: project.root,
        cwd: project.cwd,
    })
}

fn policy_name(layer: &Layer) -> Setting<String> {
    let default = || Setting::new(NameOrFile::Name(policy::DEFAULT.to_owned()), element::joined(vec![]));
    let chosen = layer.policy.as_ref().map(|setting| Setting::new(setting.value.value.clone(), setting.origin.clone()));
    let Setting { value, origin } = chosen.unwrap_or_else(default);
    Setting::new(value.to_string(), origin)
}
