//! What containers take away: found by the error of a box that could not be built, and explained by what testbox sees
//! of its own place. Nothing here is read where a box stands.

use std::path::Path;

use super::super::finding::Finding;

/// What testbox sees of its own place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    /// A seccomp filter lies on testbox itself.
    filtered: bool,
    /// How many users its user namespace maps; `None`: all of them.
    users: Option<u64>,
    /// Testbox is root, but may mount nothing.
    weak_root: bool,
    /// Something is mounted below /proc.
    covered: bool,
    /// An AppArmor profile lies on testbox itself.
    confined: bool,
}

/// A restriction: the words of the error that it causes, where it can be, and what to do about it.
struct Restriction {
    error: &'static [&'static str],
    applies: fn(&Place) -> bool,
    means: &'static str,
    fix: Fix,
}

/// What to do about a restriction.
enum Fix {
    /// What the text says.
    Told(&'static str),
    /// The container is started with all that a box needs there, and these words.
    Started { podman: &'static str, docker: &'static str },
}

const RESTRICTIONS: [Restriction; 5] = [
    Restriction {
        error: &["id_map", "not permitted"],
        applies: |place| place.users.is_some(),
        means: "testbox is root of a user namespace that maps too few users to give a box one of its own",
        fix: Fix::Told(
            "start testbox as an ordinary user of that container (`unshare --map-user=UID`, podman: `--userns=keep-id`)",
        ),
    },
    Restriction {
        error: &["cannot create the namespaces", "not permitted"],
        applies: |place| place.filtered,
        means: "a seccomp filter lies on testbox itself, as container engines put it, and it refuses new namespaces",
        fix: Fix::Started { podman: SECCOMP, docker: SECCOMP },
    },
    Restriction {
        error: &["cannot prepare the mounts", "not permitted"],
        applies: |place| place.weak_root,
        means: "testbox is root, but without CAP_SYS_ADMIN, as root of a container is",
        fix: Fix::Started { podman: "", docker: "" },
    },
    Restriction {
        error: &["/proc/sys/", "Read-only file system"],
        applies: |_| true,
        means: "/proc/sys is mounted read-only, as container engines do",
        fix: Fix::Started { podman: UNMASK[0], docker: UNMASK[1] },
    },
    Restriction {
        error: &["mount", "proc", "not permitted"],
        applies: |_| true,
        means: "parts of /proc are covered here, as container engines do, and the kernel then gives no new one to a box",
        fix: Fix::Started { podman: UNMASK[0], docker: UNMASK[1] },
    },
];

/// The engines' default filters allow a box's system calls to who has it.
const CAPABILITY: &str = "--cap-add SYS_ADMIN";
const SECCOMP: &str = "--security-opt seccomp=unconfined";
/// podman's word, docker's word.
const UNMASK: [&str; 2] = ["--security-opt unmask=ALL", "--security-opt systempaths=unconfined"];
const APPARMOR: &str = "--security-opt apparmor=unconfined";

/// The finding with the restriction that its error tells of, and what to do about it.
pub(super) fn explain(finding: Finding) -> Finding {
    let place = Place::read(Path::new("/"));
    match cause(&finding, &place) {
        Some(restriction) => finding.because([restriction.means.to_owned()]).fix(restriction.fix.text(&place)),
        None => finding,
    }
}

fn cause(finding: &Finding, place: &Place) -> Option<&'static Restriction> {
    let said = format!("{} {}", finding.text, finding.because.join(" "));
    let tells = |restriction: &&Restriction| restriction.error.iter().all(|word| said.contains(word));
    RESTRICTIONS.iter().find(|restriction| tells(restriction) && (restriction.applies)(place))
}

impl Fix {
    /// One restriction hides the next: whoever starts the container anew shall do it once.
    fn text(&self, place: &Place) -> String {
        let (podman, docker) = match self {
            Self::Told(text) => return (*text).to_owned(),
            Self::Started { podman, docker } => (place.options(podman, 0), place.options(docker, 1)),
        };
        format!(
            "start the container with what a box needs (podman: `{podman}`, docker: `{docker}`), or testbox outside of it"
        )
    }
}

impl Place {
    /// What the engine must be told: `first`, and what else would be in the way.
    fn options(&self, first: &'static str, engine: usize) -> String {
        let first = if self.weak_root && first == SECCOMP { "" } else { first };
        let all = [
            (self.weak_root, CAPABILITY),
            (!first.is_empty(), first),
            (self.covered && first != UNMASK[engine], UNMASK[engine]),
            (self.confined, APPARMOR),
        ];
        all.into_iter().filter(|(needed, _)| *needed).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    }

    fn read(root: &Path) -> Self {
        let text = |path: &str| fs_err::read_to_string(root.join(path)).unwrap_or_default();
        let status = text("proc/self/status");
        let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let is_root = of("Uid:").split_whitespace().nth(1) == Some("0");
        let effective = u64::from_str_radix(of("CapEff:").trim(), 16).unwrap_or(u64::MAX);
        let mapped = text("proc/self/uid_map");
        let users: u64 = mapped.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
        let mounts = text("proc/self/mountinfo");
        let mut places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        Self {
            filtered: of("Seccomp:").trim() == "2",
            users: (users < u64::from(u32::MAX)).then_some(users),
            weak_root: is_root && effective & (1 << CAP_SYS_ADMIN) == 0,
            covered: places.any(|place| place.starts_with("/proc/") && place != "/proc/sys/fs/binfmt_misc"),
            confined: text("proc/self/attr/current").trim_end_matches(['\0', '\n']).ends_with(" (enforce)"),
        }
    }
}

/// capabilities(7).
const CAP_SYS_ADMIN: u32 = 21;

#[cfg(test)]
mod tests {
    use super::*;

    fn in_container() -> Place {
        Place { filtered: true, users: Some(1), weak_root: true, ..Place::default() }
    }

    const NO_NAMESPACES: &str =
        "cannot create the namespaces: create the box's namespaces: Operation not permitted (os error 1)";

    #[test]
    fn each_error_has_its_restriction() {
        for (error, word) in [
            (NO_NAMESPACES, "a seccomp filter"),
            (
                "cannot create the namespaces: set the host name `x`: Operation not permitted (os error 1)",
                "a seccomp filter",
            ),
            (
                "cannot create the namespaces: map the user: failed to write to file `/proc/7/gid_map`: Operation not permitted",
                "too few users",
            ),
            ("cannot prepare the mounts: bind /x: Operation not permitted (os error 1)", "CAP_SYS_ADMIN"),
            (
                "failed to create file `/proc/sys/user/max_inotify_instances`: Read-only file system (os error 30)",
                "/proc/sys is",
            ),
            ("cannot mount `proc`: Operation not permitted (os error 1)", "covered"),
        ] {
            let finding = Finding::missing("namespaces", error);
            let found = cause(&finding, &in_container());
            assert!(found.is_some_and(|found| found.means.contains(word)), "{error}");
        }
    }

    #[test]
    fn the_fix_names_everything_that_is_in_the_way() {
        let seccomp = Fix::Started { podman: SECCOMP, docker: SECCOMP };
        let unmask = Fix::Started { podman: UNMASK[0], docker: UNMASK[1] };
        let said = |fix: &Fix, place: &Place| {
            let text = fix.text(place);
            let quoted: Vec<String> = text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            quoted
        };
        let user = Place { filtered: true, ..Place::default() };
        assert_eq!(said(&seccomp, &user), [SECCOMP, SECCOMP]);
        assert_eq!(said(&unmask, &user), UNMASK);
        let covered = Place { covered: true, ..user };
        assert_eq!(said(&seccomp, &covered), UNMASK.map(|unmask| format!("{SECCOMP} {unmask}")));
        let root = Place { weak_root: true, confined: true, ..covered };
        let all = UNMASK.map(|unmask| format!("{CAPABILITY} {unmask} {APPARMOR}"));
        assert_eq!(said(&seccomp, &root), all);
        assert_eq!(said(&unmask, &root), all);
        assert_eq!(said(&Fix::Started { podman: "", docker: "" }, &root), all);
    }

    #[test]
    fn nothing_is_blamed_that_is_not_there() {
        assert!(cause(&Finding::missing("namespaces", NO_NAMESPACES), &Place::default()).is_none());
        assert!(cause(&Finding::missing("namespaces", "no space left on device"), &in_container()).is_none());
    }

    #[test]
    fn the_place_is_read_from_proc() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("proc/self");
        fs_err::create_dir_all(own.join("attr")).unwrap();
        let put = |name: &str, text: &str| fs_err::write(own.join(name), text).unwrap();
        put("status", "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t00000000800405fb\nSeccomp:\t2\nSeccomp_filters:\t1\n");
        put("uid_map", "         0       1000          1\n         1     100000      65536\n");
        put("mountinfo", "107 1 0:37 / /proc rw - proc proc rw\n128 107 0:37 /sys /proc/sys ro - proc proc rw\n");
        put("attr/current", "docker-default (enforce)\n");
        let seen = Place { filtered: true, users: Some(65_537), weak_root: true, covered: true, confined: true };
        assert_eq!(Place::read(root.path()), seen);
        put("status", "Name:\tSeccomp:\t2\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n");
        put("uid_map", "         0          0 4294967295\n");
        put(
            "mountinfo",
            "107 1 0:37 / /proc rw - proc proc rw\n128 107 0:38 / /proc/sys/fs/binfmt_misc rw - binfmt_misc x rw\n",
        );
        put("attr/current", "unconfined\n");
        assert_eq!(Place::read(root.path()), Place::default());
    }
}
