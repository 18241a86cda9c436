//! The image: the lists of `images/base.toml`, which say what the root file system of every box holds. Data only.

use std::path::PathBuf;

use serde::Deserialize;

/// `images/base.toml`, as the build script compiled it.
const BASE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/image.json"));

/// The parsed `images/base.toml`; the file explains each list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) skeleton: SkeletonLists,
    pub(crate) scratch: ScratchLists,
    pub(crate) home: HomeLists,
    pub(crate) system: SystemLists,
    pub(crate) etc: EtcLists,
    pub(crate) proc: ProcLists,
    pub(crate) trust: TrustLists,
    pub(crate) project: ProjectLists,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkeletonLists {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) links: Vec<SkeletonLink>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkeletonLink {
    pub(crate) path: PathBuf,
    pub(crate) target: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScratchLists {
    pub(crate) folders: Vec<ScratchFolder>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScratchFolder {
    pub(crate) path: PathBuf,
    pub(crate) name: ScratchName,
    pub(crate) mode: u32,
}

/// The folders of the scratch tmpfs; an enum, so that their names live as long as the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScratchName {
    Home,
    Run,
    Tmp,
    VarTmp,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HomeLists {
    pub(crate) candidates: Vec<PathBuf>,
    pub(crate) user: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SystemLists {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) stores: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EtcLists {
    pub(crate) bind: Vec<String>,
    pub(crate) copy: Vec<String>,
    pub(crate) copy_limit_bytes: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcLists {
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) read_only: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustLists {
    pub(crate) never_below: Vec<PathBuf>,
    pub(crate) never_itself: Vec<PathBuf>,
    pub(crate) hidden_home_folders: Vec<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectLists {
    pub(crate) guarded: Vec<String>,
    pub(crate) covered: Vec<String>,
}

impl ScratchName {
    /// The folder's name; one path component.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Run => "run",
            Self::Tmp => "tmp",
            Self::VarTmp => "var-tmp",
        }
    }
}

impl Image {
    /// The compiled-in image.
    pub(crate) fn base() -> Result<Self, serde_json::Error> {
        serde_json::from_slice(BASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_image_is_well_formed() {
        let image = Image::base().unwrap();
        let absolute = [&image.skeleton.folders, &image.system.folders, &image.proc.masked, &image.trust.never_below];
        assert!(absolute.into_iter().flatten().all(|path| path.is_absolute()));
        assert!(image.scratch.folders.iter().all(|folder| folder.mode <= 0o1777));
        assert!(image.etc.bind.iter().chain(&image.etc.copy).all(|name| !name.starts_with('/')));
    }
}
