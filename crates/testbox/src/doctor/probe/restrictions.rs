//! What containers take away: found by the error of a box that could not be built, and explained by what testbox sees
//! of its own place. Nothing here is read where a box stands.

use std::path::Path;

use super::super::finding::Finding;

/// What testbox sees of its own place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    /// A seccomp filter lies on testbox itself.
    filtered: bool,
    /// How many users its user namespace maps; `None`: all of them.
    users: Option<u64>,
}

/// A restriction: the words of the error that it causes, where it can be, and what to do about it.
struct Restriction {
    error: &'static [&'static str],
    applies: fn(Place) -> bool,
    means: &'static str,
    fix: &'static str,
}

const RESTRICTIONS: [Restriction; 4] = [
    Restriction {
        error: &["cannot create the namespaces: create", "not permitted"],
        applies: |place| place.filtered,
        means: "a seccomp filter lies on testbox itself, as container engines put it, and it refuses new namespaces",
        fix: "start the container with a filter that allows them (docker and podman: `--security-opt \
              seccomp=unconfined`), or testbox outside of it",
    },
    Restriction {
        error: &["id_map", "not permitted"],
        applies: |place| place.users.is_some(),
        means: "testbox is root of a user namespace that maps too few users to give a box one of its own",
        fix: "start testbox as an ordinary user of that container (`unshare --map-user=UID`, podman: `--userns=keep-id`)",
    },
    Restriction {
        error: &["/proc/sys/", "Read-only file system"],
        applies: |_| true,
        means: "/proc/sys is mounted read-only, as container engines do",
        fix: "start the container with a writable one (docker: `--security-opt systempaths=unconfined`, podman: \
              `--security-opt unmask=ALL`, each with `--privileged` where that is not enough)",
    },
    Restriction {
        error: &["mount", "proc", "not permitted"],
        applies: |_| true,
        means: "parts of /proc are covered here, as container engines do, and the kernel then gives no new one to a box",
        fix: "start the container with an uncovered /proc (docker: `--security-opt systempaths=unconfined`, podman: \
              `--security-opt unmask=ALL`)",
    },
];

/// The finding with the restriction that its error tells of, and what to do about it.
pub(super) fn explain(finding: Finding) -> Finding {
    let place = Place::read(Path::new("/"));
    match cause(&finding, place) {
        Some(restriction) => finding.because([restriction.means.to_owned()]).fix(restriction.fix),
        None => finding,
    }
}

fn cause(finding: &Finding, place: Place) -> Option<&'static Restriction> {
    let said = format!("{} {}", finding.text, finding.because.join(" "));
    let tells = |restriction: &&Restriction| restriction.error.iter().all(|word| said.contains(word));
    RESTRICTIONS.iter().find(|restriction| tells(restriction) && (restriction.applies)(place))
}

impl Place {
    fn read(root: &Path) -> Self {
        let text = |path: &str| fs_err::read_to_string(root.join(path)).unwrap_or_default();
        let filtered = text("proc/self/status").lines().any(|line| line == "Seccomp:\t2");
        let mapped = text("proc/self/uid_map");
        let users: u64 = mapped.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
        Self { filtered, users: (users < u64::from(u32::MAX)).then_some(users) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_CONTAINER: Place = Place { filtered: true, users: Some(1) };

    #[test]
    fn each_error_has_its_restriction() {
        for (error, word) in [
            (
                "cannot create the namespaces: create the box's namespaces: Operation not permitted (os error 1)",
                "seccomp=",
            ),
            ("failed to write to file `/proc/7/gid_map`: Operation not permitted (os error 1)", "--map-user"),
            (
                "failed to create file `/proc/sys/user/max_inotify_instances`: Read-only file system (os error 30)",
                "systempaths",
            ),
            ("cannot mount `proc`: Operation not permitted (os error 1)", "unmask=ALL"),
        ] {
            let found = cause(&Finding::missing("namespaces", error), IN_CONTAINER);
            assert!(found.is_some_and(|found| found.fix.contains(word)), "{error}");
        }
    }

    #[test]
    fn nothing_is_blamed_that_is_not_there() {
        let refused = Finding::missing(
            "namespaces",
            "cannot create the namespaces: create the box's namespaces: Operation not permitted (os error 1)",
        );
        assert!(cause(&refused, Place::default()).is_none());
        assert!(cause(&Finding::missing("namespaces", "no space left on device"), IN_CONTAINER).is_none());
    }

    #[test]
    fn the_place_is_read_from_proc() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("proc/self");
        fs_err::create_dir_all(&own).unwrap();
        fs_err::write(own.join("status"), "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n").unwrap();
        fs_err::write(own.join("uid_map"), "         0       1000          1\n         1     100000      65536\n")
            .unwrap();
        assert_eq!(Place::read(root.path()), Place { filtered: true, users: Some(65_537) });
        fs_err::write(own.join("status"), "Name:\tSeccomp:\t2\nSeccomp:\t0\n").unwrap();
        fs_err::write(own.join("uid_map"), "         0          0 4294967295\n").unwrap();
        assert_eq!(Place::read(root.path()), Place::default());
    }
}
