//! An environment: a virtual environment, a conda environment, or a bare installation, and what it consists of.

use std::path::{Path, PathBuf};

use super::installation::Installation;
use super::search::{Found, Place};
use super::{Look, PythonError, sites};
use crate::bundle::Interpreter;
use crate::walk::{self, WalkError};

/// What the search found, looked at closely.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The interpreter, as the command will see it.
    program: PathBuf,
    kind: Kind,
    /// What brings the standard library; more than one if `home` and the interpreter's link disagree.
    installations: Vec<Installation>,
    found_by: String,
}

#[derive(Debug)]
enum Kind {
    Virtual { root: PathBuf, config: Config },
    Conda { root: PathBuf },
    Bare,
}

/// The keys of `pyvenv.cfg` that matter.
#[derive(Debug, Default)]
struct Config {
    home: Option<PathBuf>,
    executable: Option<PathBuf>,
    version: Option<String>,
    system_site_packages: bool,
    made_by_uv: bool,
}

impl Environment {
    /// Looks at what the search found.
    pub(crate) fn inspect(look: &Look<'_>, found: Found) -> Result<Self, PythonError> {
        match found.place {
            Place::Environment(root) => Self::at_root(look, root, found.found_by, found.by_caller),
            Place::Interpreter(program) => match root_of(look, &program) {
                Some(root) => Self::at_root(look, root, found.found_by, found.by_caller),
                None => Self::bare(look, program, found.found_by),
            },
        }
    }

    fn at_root(look: &Look<'_>, root: PathBuf, found_by: String, by_caller: bool) -> Result<Self, PythonError> {
        let is_virtual = walk::is_file(look.host, &root.join("pyvenv.cfg"));
        if !is_virtual && !walk::is_folder(look.host, &root.join("conda-meta")) {
            return Err(PythonError::NotAnEnvironment { path: root, found_by });
        }
        refuse_untrusted(look, &root, &found_by, by_caller)?;
        if is_virtual { Self::virtual_at(look, root, found_by) } else { Self::conda_at(look, root, found_by) }
    }

    fn virtual_at(look: &Look<'_>, root: PathBuf, found_by: String) -> Result<Self, PythonError> {
        let config = Config::read(look, &root)?;
        let broken = |what: String, source: WalkError| {
            let (fix, source) = (fix(&root, &config, &source), Box::new(source));
            PythonError::EnvironmentBroken { environment: root.clone(), found_by: found_by.clone(), what, fix, source }
        };
        let program = ["bin/python", "bin/python3"].map(|name| root.join(name));
        let program = program.iter().find(|path| walk::exists(look.host, path)).unwrap_or(&program[0]).clone();
        let end = walk::walk(look.host, &program)
            .map_err(|source| broken(format!("its interpreter `{}` cannot be reached", program.display()), source))?;
        let mut installations = Vec::new();
        let named_by = format!("`{}`", root.join("pyvenv.cfg").display());
        if let Some(home) = &config.home {
            let bin = walk::walk(look.host, home)
                .map_err(|source| broken(format!("its Python was in `{}`", home.display()), source))?;
            let program = bin.path.join(end.path.file_name().unwrap_or_default());
            installations.push(base(look, &bin.path, &program, &named_by)?);
        }
        let own = walk::walk(look.host, &root).map(|end| end.path).unwrap_or_else(|_| root.clone());
        if !end.path.starts_with(&own) {
            let linked = Installation::of_program(look, &end.path, &format!("`{}`", program.display()))?;
            installations.extend((!installations.contains(&linked)).then_some(linked));
        }
        if installations.is_empty() {
            let (program, named_by) = (end.path, named_by);
            return Err(PythonError::NotAnInstallation { program, named_by, prefix: root });
        }
        Ok(Self { program, kind: Kind::Virtual { root, config }, installations, found_by })
    }

    fn conda_at(look: &Look<'_>, root: PathBuf, found_by: String) -> Result<Self, PythonError> {
        let program = root.join("bin/python");
        let end = walk::walk(look.host, &program).map_err(|source| PythonError::EnvironmentBroken {
            environment: root.clone(),
            found_by: found_by.clone(),
            what: "it has no `bin/python`".to_owned(),
            fix: format!("install Python in it: `conda install -p {} python`", root.display()),
            source: Box::new(source),
        })?;
        let installation = Installation::of_program(look, &end.path, &found_by)?;
        Ok(Self { program, kind: Kind::Conda { root }, installations: vec![installation], found_by })
    }

    fn bare(look: &Look<'_>, program: PathBuf, found_by: String) -> Result<Self, PythonError> {
        let end = walk::walk(look.host, &program).map_err(|source| PythonError::ScriptBroken {
            script: PathBuf::from(&found_by),
            interpreter: program.clone(),
            source: Box::new(source),
        })?;
        let installation = Installation::of_program(look, &end.path, &found_by)?;
        Ok(Self { program, kind: Kind::Bare, installations: vec![installation], found_by })
    }

    /// Paths that must lead to the same things in the box.
    pub(crate) fn shown(&self, look: &Look<'_>) -> Vec<PathBuf> {
        let mut shown: Vec<PathBuf> = self.root().map(Path::to_owned).into_iter().collect();
        for installation in &self.installations {
            shown.extend(installation.folders(look));
        }
        shown.push(self.program.clone());
        if let Kind::Virtual { config, .. } = &self.kind {
            let trees: Vec<PathBuf> =
                shown.iter().filter_map(|tree| walk::walk(look.host, tree).ok()).map(|end| end.path).collect();
            shown.extend(config.programs(look, &self.program, &trees));
        }
        shown.extend(self.user_site(look).into_iter().map(|(folder, _)| folder));
        shown
    }

    /// The folder of the environment's own programs.
    pub(crate) fn bin_folder(&self) -> PathBuf {
        self.program.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// Folders for the front of PATH: the environment's, then the base interpreter's if the system does not bring it.
    pub(crate) fn bin_folders(&self, look: &Look<'_>) -> Vec<PathBuf> {
        let mut folders = vec![self.bin_folder()];
        folders.extend(self.installations.iter().map(|installation| installation.prefix.join("bin")));
        folders.retain(|folder| !look.image.system.folders.iter().any(|system| folder.starts_with(system)));
        folders.dedup();
        folders
    }

    /// The `site-packages` folders that the interpreter will read.
    pub(crate) fn site_folders(&self, look: &Look<'_>) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Kind::Virtual { root, config } = &self.kind {
            folders.extend(sites::of_virtual_environment(look, root));
            if !config.system_site_packages {
                return folders;
            }
        }
        folders.extend(self.installations.iter().flat_map(|installation| installation.site_folders(look)));
        folders.extend(self.user_site(look).into_iter().map(|(folder, _)| folder));
        folders
    }

    /// The version of pytest in the environment; empty if it is there without one.
    pub(crate) fn pytest(&self, look: &Look<'_>) -> Result<Option<String>, PythonError> {
        for folder in self.site_folders(look).into_iter().chain(sites::python_path_folders(look)) {
            let version = testbox_pytest::installed_version(&look.host.real(&folder));
            if let Some(version) = version.map_err(|source| PythonError::Unreadable { path: folder.clone(), source })? {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// The error for an environment without pytest.
    pub(crate) fn without_pytest(&self, look: &Look<'_>) -> PythonError {
        let fix = match &self.kind {
            Kind::Virtual { config, .. } if config.made_by_uv => "install it: `uv add --dev pytest`".to_owned(),
            Kind::Conda { root } => format!("install it: `conda install -p {} pytest`", root.display()),
            Kind::Virtual { .. } => format!("install it: `{} -m pip install pytest`", self.program.display()),
            Kind::Bare => {
                "create an environment in the project: `python3 -m venv .venv && .venv/bin/pip install pytest`"
                    .to_owned()
            }
        };
        PythonError::NoPytest {
            environment: self.root().unwrap_or(&self.program).to_owned(),
            found_by: self.found_by.clone(),
            looked: self.site_folders(look),
            fix,
        }
    }

    /// Variables that name the environment to programs in the box.
    pub(crate) fn variables(&self, look: &Look<'_>) -> Vec<(&'static str, PathBuf)> {
        let mut variables = match &self.kind {
            Kind::Virtual { root, .. } => vec![("VIRTUAL_ENV", root.clone())],
            Kind::Conda { root } => vec![("CONDA_PREFIX", root.clone())],
            Kind::Bare => Vec::new(),
        };
        variables.extend(self.user_site(look).map(|(_, base)| ("PYTHONUSERBASE", base)));
        variables
    }

    /// What reports say about it.
    pub(crate) fn interpreter(&self, pytest: Option<String>) -> Interpreter {
        let base = self.installations.first();
        let config_version = match &self.kind {
            Kind::Virtual { config, .. } => config.version.clone(),
            Kind::Conda { .. } | Kind::Bare => None,
        };
        Interpreter {
            path: self.program.clone(),
            base_prefix: base.map(|base| base.prefix.clone()).unwrap_or_default(),
            venv: self.root().map(Path::to_owned),
            version: config_version.or_else(|| base.and_then(|base| base.version.clone())),
            pytest: pytest.filter(|version| !version.is_empty()),
            found_by: self.found_by.clone(),
        }
    }

    /// Is `program` this environment's own, or one of its installation's?
    pub(crate) fn holds(&self, look: &Look<'_>, program: &Path) -> bool {
        let folder = program.parent().and_then(|folder| walk::walk(look.host, folder).ok()).map(|end| end.path);
        let own = walk::walk(look.host, &self.bin_folder()).ok().map(|end| end.path);
        folder.is_some() && folder == own
    }

    fn root(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Virtual { root, .. } | Kind::Conda { root } => Some(root),
            Kind::Bare => None,
        }
    }

    /// `~/.local/lib/python3.X/site-packages` and its base, if this interpreter reads it and it is there.
    fn user_site(&self, look: &Look<'_>) -> Option<(PathBuf, PathBuf)> {
        let reads = match &self.kind {
            Kind::Virtual { config, .. } => config.system_site_packages,
            Kind::Conda { .. } => false,
            Kind::Bare => true,
        };
        let library = self.installations.first()?.library.file_name()?;
        let base = look.host.env_path("PYTHONUSERBASE").or_else(|| Some(look.host.home.as_deref()?.join(".local")))?;
        let folder = base.join("lib").join(library).join("site-packages");
        (reads && base.is_absolute() && walk::is_folder(look.host, &folder)).then_some((folder, base))
    }
}

impl Config {
    fn read(look: &Look<'_>, root: &Path) -> Result<Self, PythonError> {
        let path = root.join("pyvenv.cfg");
        let text = look.host.read_text(&path).map_err(|source| PythonError::Unreadable { path, source })?;
        let mut config = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "home" => config.home = Some(walk::absolute(root, Path::new(value))),
                "executable" => config.executable = Some(walk::absolute(root, Path::new(value))),
                "version" | "version_info" => config.version = Some(plain_version(value)),
                "include-system-site-packages" => config.system_site_packages = value.eq_ignore_ascii_case("true"),
                "uv" => config.made_by_uv = true,
                _ => {}
            }
        }
        Ok(config)
    }

    /// The base interpreter under the names that Python itself tries in `home`, as far as they lead into `trees`: the
    /// file could name anything.
    fn programs(&self, look: &Look<'_>, program: &Path, trees: &[PathBuf]) -> Vec<PathBuf> {
        let known = |path: &PathBuf| {
            let end = walk::walk(look.host, path).ok().filter(|end| end.metadata.is_file());
            end.is_some_and(|end| trees.iter().any(|tree| end.path.starts_with(tree)))
        };
        let names = look.host.names_in(program.parent().unwrap_or(Path::new("/")));
        let pythons = names.iter().filter(|name| super::shebang::is_python(Path::new(name)));
        let in_home = self.home.iter().flat_map(|home| pythons.clone().map(|name| home.join(name)));
        in_home.chain(self.executable.clone()).filter(known).collect()
    }
}

/// `3.12.4.final.0` as `3.12.4`.
fn plain_version(value: &str) -> String {
    value
        .split('.')
        .take_while(|part| part.starts_with(|c: char| c.is_ascii_digit()))
        .take(3)
        .collect::<Vec<_>>()
        .join(".")
}

/// The installation of `home`; if its programs are links, the one where they lead.
fn base(look: &Look<'_>, bin: &Path, program: &Path, named_by: &str) -> Result<Installation, PythonError> {
    let direct = Installation::of_bin_folder(look, bin, program, named_by);
    let linked = walk::walk(look.host, program).ok().filter(|end| end.path != program);
    match (direct, linked) {
        (Err(PythonError::NotAnInstallation { .. }), Some(end)) => Installation::of_program(look, &end.path, named_by),
        (direct, _) => direct,
    }
}

/// The environment that an interpreter belongs to: `pyvenv.cfg` above it, on the way of its links.
fn root_of(look: &Look<'_>, program: &Path) -> Option<PathBuf> {
    let mut places = vec![program.to_owned()];
    if let Ok(end) = walk::walk(look.host, program) {
        places.extend(end.links.into_iter().map(|link| link.at));
        places.push(end.path);
    }
    let roots = places.iter().filter_map(|place| place.parent()?.parent().map(Path::to_owned));
    roots.into_iter().find(|root| {
        walk::is_file(look.host, &root.join("pyvenv.cfg")) || walk::is_folder(look.host, &root.join("conda-meta"))
    })
}

/// A folder is shown as an environment only if it is not far more than that.
fn refuse_untrusted(look: &Look<'_>, root: &Path, found_by: &str, by_caller: bool) -> Result<(), PythonError> {
    let Ok(end) = walk::walk(look.host, root) else { return Ok(()) };
    if end.path == look.project || look.allowed.iter().any(|allowed| end.path.starts_with(allowed)) {
        return Ok(());
    }
    let why = if by_caller { look.trust.too_broad(&end.path) } else { look.trust.objection(&end.path) };
    let refusal = |why| PythonError::TooBroad { path: root.to_owned(), named_by: found_by.to_owned(), why };
    why.map_or(Ok(()), |why| Err(refusal(why)))
}

/// How to repair an environment whose path ended at `source`.
fn fix(root: &Path, config: &Config, source: &WalkError) -> String {
    if let WalkError::Refused { path, .. } = source {
        return format!(
            "let this user look into `{}`, or make the environment with a Python that every user may read",
            path.display()
        );
    }
    let missing = source.missing().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let pyenv = missing.split_once("/versions/").filter(|(before, _)| before.ends_with("pyenv"));
    if let Some((_, rest)) = pyenv {
        return format!("install that Python again: `pyenv install {}`", rest.split('/').next().unwrap_or(rest));
    }
    if config.made_by_uv {
        return "create it again: `uv sync`, or `uv venv --clear`".to_owned();
    }
    let root = root.display();
    format!("create it again: `rm -r {root} && python3 -m venv {root}`, then install the project's requirements")
}
