//! One mount of a bundle as a mount of the OCI configuration.

use std::path::Path;

use oci_spec::runtime::{Mount, MountBuilder};

use super::{Layers, Placement, faulty};
use crate::bundle::{BoxMount, Bundle, Source};
use crate::error::BundleError;

/// A mount as type, source and options.
struct Form<'a> {
    typ: &'static str,
    source: &'a Path,
    options: Vec<String>,
}

/// The mount as the placement has it.
pub(crate) fn convert(
    bundle: &Bundle,
    mount: &BoxMount,
    index: usize,
    placement: &Placement<'_>,
) -> Result<Mount, BundleError> {
    let form = match &mount.source {
        Source::Bind { path, .. } => bind(path, mount.read_only),
        Source::View { lower, .. } => {
            let layers = (placement.layers)(mount, index);
            let layers = layers.ok_or_else(|| BundleError::NoLayers { destination: mount.destination.clone() })?;
            overlay(lower, &layers)
        }
        Source::Scratch { mode, .. } => scratch(bundle, *mode, placement.user),
        Source::Tmpfs { size_bytes, inodes, mode } => {
            // The runtime makes the device nodes in /dev: no `nodev` there.
            let first = if mount.destination == Path::new("/dev") { &["nosuid"][..] } else { &["nosuid", "nodev"] };
            tmpfs(first, *size_bytes, *inodes, *mode)
        }
        Source::Proc => kernel("proc", &["nosuid", "noexec", "nodev"]),
        Source::Sysfs => kernel("sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        Source::Devpts => kernel("devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        Source::Mqueue => kernel("mqueue", &["nosuid", "noexec", "nodev"]),
    };
    let builder = MountBuilder::default().destination(&mount.destination).typ(form.typ).source(form.source);
    builder.options(form.options).build().map_err(faulty("a mount"))
}

fn bind(path: &Path, read_only: bool) -> Form<'_> {
    let access = if read_only { "rro" } else { "rw" };
    Form { typ: "bind", source: path, options: strings(&["rbind", access, "rnosuid", "rnodev"]) }
}

fn overlay<'a>(lower: &Path, layers: &Layers) -> Form<'a> {
    let mut options = strings(&["nosuid", "nodev"]);
    for (key, path) in [("lowerdir", lower), ("upperdir", &layers.upper), ("workdir", &layers.work)] {
        options.push(format!("{key}={}", escaped(path)));
    }
    Form { typ: "overlay", source: Path::new("overlay"), options }
}

/// overlayfs splits its options at commas and its lower layers at colons.
fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars().flat_map(|c| ",:\\".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A scratch folder that nobody staged: a tmpfs of its own, with the bounds of the whole scratch.
fn scratch<'a>(bundle: &Bundle, mode: u32, (uid, gid): (u32, u32)) -> Form<'a> {
    let (bytes, inodes) = (bundle.limits.tmp_bytes.value.0, bundle.limits.tmp_inodes.value);
    let mut form = tmpfs(&["nosuid", "nodev"], bytes, inodes, mode);
    form.options.extend([format!("uid={uid}"), format!("gid={gid}")]);
    form
}

fn tmpfs<'a>(first: &[&str], bytes: u64, inodes: u64, mode: u32) -> Form<'a> {
    let mut form = kernel("tmpfs", first);
    form.options.extend([format!("mode={mode:o}"), format!("size={bytes}"), format!("nr_inodes={inodes}")]);
    form
}

fn kernel<'a>(typ: &'static str, options: &[&str]) -> Form<'a> {
    Form { typ, source: Path::new(typ), options: strings(options) }
}

fn strings(options: &[&str]) -> Vec<String> {
    options.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_paths_are_escaped() {
        assert_eq!(escaped(Path::new("/a,b:c\\d e")), "/a\\,b\\:c\\\\d e");
    }
}
