//! The guest's image: a root file system and a kernel, made from Debian's packages and kept by what they are made of.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, is_root, key};
use crate::error::Error;
use crate::guest::apt;
use crate::program::Program;
use crate::setup::{self, say, tools, venv};
use crate::workspace::Workspace;

/// Part of every key: changes when the steps below change.
const FORMAT: &str = "1";
/// The guest's Debian, and its Python.
const SUITE: &str = "trixie";
const PYTHON: &str = "3.13";
/// User Mode Linux, from where its kernel is the newest: older ones die on processors with AMX.
const KERNEL_SUITE: &str = "sid";
const KERNEL_PACKAGE: &str = "user-mode-linux";
/// As the guest sees its disk; the host stores only what is in use.
const DISK_SIZE: &str = "8G";
/// What the kernel needs of its own Debian; the host's may be too old for it.
const LIBRARIES: [&str; 2] = ["lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"];
/// Mount points of the kernel's cell.
const MOUNT_POINTS: [&str; 4] = ["dev", "image", "proc", "tmp"];

/// What the image is made from.
struct Recipe {
    /// `images/guest`.
    dir: PathBuf,
    packages: String,
    /// Of the tests, a path.
    requirements: PathBuf,
    /// Of the twin projects, one a line.
    twins: String,
}

/// The image for the recipe of this checkout: `root.ext4`, and `cell/linux` with its libraries.
pub(crate) fn ensure(workspace: &Workspace, install: bool) -> Result<PathBuf, Error> {
    let cache = Cache::open(workspace)?;
    let recipe = Recipe::read(workspace)?;
    let name = format!("guest-{}", recipe.key()?);
    // Two at once would fill the same folder.
    let lock = fs_err::File::create(cache.dir.join("guest.lock"))?;
    lock.file().lock()?;
    let (image, _) = cache.ensure(&name, |image| {
        tools::check(&tools::FOR_THE_GUEST, install)?;
        let venv = setup::sample(workspace, install)?;
        say("guest", &format!("making an image of Debian {SUITE}, which takes a minute"));
        let work = cache.fresh("guest-work")?;
        recipe.make(image, &work, &venv)?;
        fs_err::remove_dir_all(work)?;
        remove_older(&cache.dir, &name)
    })?;
    Ok(image)
}

impl Recipe {
    fn read(workspace: &Workspace) -> Result<Self, Error> {
        let dir = workspace.root.join("images/guest");
        let packages = fs_err::read_to_string(dir.join("packages.txt"))?;
        let twins: String = setup::twin_list(workspace)?.requirements().map(|line| format!("{line}\n")).collect();
        Ok(Self { dir, packages, requirements: workspace.sample().join("requirements.txt"), twins })
    }

    fn key(&self) -> Result<String, Error> {
        let setup = fs_err::read_to_string(self.dir.join("setup.sh"))?;
        let agent = fs_err::read_to_string(self.dir.join("agent.py"))?;
        let requirements = fs_err::read_to_string(&self.requirements)?;
        let made_of = [FORMAT, SUITE, PYTHON, KERNEL_SUITE, KERNEL_PACKAGE];
        Ok(key(&[&made_of.join(" "), &self.packages, &setup, &agent, &requirements, &self.twins]))
    }

    fn make(&self, image: &Path, work: &Path, venv: &Path) -> Result<(), Error> {
        if !is_root() {
            return Err(Error::NeedsRoot { what: "the guest's image can be made" });
        }
        let (root, kernel) = (work.join("root"), work.join("kernel"));
        self.unpack_root(&root, work, venv)?;
        apt::unpack(KERNEL_SUITE, "extract", &[KERNEL_PACKAGE], &kernel, work)?.stdout()?;
        let modules = root.join("usr/lib/modules");
        Program::new("cp")
            .args(["-a", "--no-target-directory"])
            .arg(kernel.join("usr/lib/uml/modules"))
            .arg(modules)
            .stdout()?;
        make_cell(&kernel, &image.join("cell"))?;
        make_disk(&root, &image.join("root.ext4"))
    }

    fn unpack_root(&self, root: &Path, work: &Path, venv: &Path) -> Result<(), Error> {
        let (wheels, twins) = (work.join("wheels"), work.join("twins"));
        venv::download(venv, &self.requirements, &wheels, None)?;
        let list = work.join("twins.txt");
        fs_err::write(&list, &self.twins)?;
        venv::download(venv, &list, &twins, Some(PYTHON))?;
        let packages: Vec<&str> =
            self.packages.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        apt::unpack(SUITE, "essential", &packages, root, work)?
            .arg(format!("--customize-hook={}", self.dir.join("setup.sh").display()))
            .env("RECIPE", &self.dir)
            .env("WHEELS", wheels)
            .env("TWINS", twins)
            .stdout()
            .map(drop)
    }
}

/// Removes the images of earlier recipes; a guest that runs keeps the files that it has open.
fn remove_older(dir: &Path, kept: &str) -> Result<(), Error> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("guest-") && !name.starts_with(kept) && path.is_dir() {
            let stamp = path.with_added_extension("complete");
            if stamp.exists() {
                fs_err::remove_file(stamp)?;
            }
            fs_err::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// The kernel with the C library that it was linked with.
fn make_cell(kernel: &Path, cell: &Path) -> Result<(), Error> {
    for folder in MOUNT_POINTS {
        fs_err::create_dir_all(cell.join(folder))?;
    }
    for library in LIBRARIES {
        let to = cell.join(library);
        fs_err::create_dir_all(to.parent().unwrap_or(cell))?;
        let name = to.file_name().unwrap_or_default();
        fs_err::copy(kernel.join("usr/lib/x86_64-linux-gnu").join(name), &to)?;
    }
    fs_err::copy(kernel.join("usr/bin/linux.uml"), cell.join("linux"))?;
    Ok(())
}

/// A file system of what is there, with room for more.
fn make_disk(root: &Path, disk: &Path) -> Result<(), Error> {
    Program::new("mke2fs")
        .args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1", "-m", "0", "-F", "-d"])
        .arg(root)
        .arg(disk)
        .arg(DISK_SIZE)
        .stdout()
        .map(drop)
}
