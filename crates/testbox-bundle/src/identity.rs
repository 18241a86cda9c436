//! As whom the box runs: never as root of the host.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use testbox_model::RunPlan;

use crate::bundle::Identity;
use crate::host::Host;

/// The host user of boxes that root starts for root's own files; no distribution assigns it. In a user namespace that
/// does not have it, as in a rootless container, it is the last one that it has.
const RESERVED_UID: u32 = 735_700;
/// Its number in the box.
const RESERVED_BOX_UID: u32 = 1000;

/// The identity of a plan's box, which is known before its bundle is.
///
/// A project that cannot be looked at has no owner here; [`build`](crate::build) refuses it.
pub fn identity(plan: &RunPlan, host: &Host) -> Identity {
    let metadata = fs_err::metadata(host.real(&plan.project));
    choose(host, metadata.map_or((0, 0), |metadata| (metadata.uid(), metadata.gid())))
}

/// The identity for a caller and the owner of the project's root.
///
/// An ordinary caller stays who it is. Root becomes the project's owner; for its own project who called sudo; else the
/// reserved user. Numbers are the same inside and outside, except for the reserved user.
pub(crate) fn choose(host: &Host, owner: (u32, u32)) -> Identity {
    if host.euid != 0 {
        return same(host.euid, host.egid);
    }
    if owner.0 != 0 {
        return same(owner.0, if owner.1 == 0 { owner.0 } else { owner.1 });
    }
    if let Some(uid) = host.sudo_uid.filter(|uid| *uid != 0) {
        return same(uid, host.sudo_gid.filter(|gid| *gid != 0).unwrap_or(uid));
    }
    let known = |file: &str| reserved(&fs_err::read_to_string(host.real(Path::new(file))).unwrap_or_default());
    let (host_uid, host_gid) = (known("/proc/self/uid_map"), known("/proc/self/gid_map"));
    Identity { host_uid, host_gid, box_uid: RESERVED_BOX_UID, box_gid: RESERVED_BOX_UID }
}

/// The reserved number, or the last one below it that a user namespace with this map has (user_namespaces(7)).
fn reserved(map: &str) -> u32 {
    let range = |line: &str| -> Option<u32> {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (first, _, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        let last = first.saturating_add(count.checked_sub(1)?);
        (first <= RESERVED_UID).then_some(last.min(RESERVED_UID))
    };
    map.lines().filter_map(range).max().filter(|last| *last != 0).unwrap_or(RESERVED_UID)
}

fn same(uid: u32, gid: u32) -> Identity {
    Identity { host_uid: uid, host_gid: gid, box_uid: uid, box_gid: gid }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(euid: u32, sudo_uid: Option<u32>) -> Host {
        let (egid, sudo_gid) = (euid, sudo_uid.map(|uid| uid + 1));
        Host {
            root: "/".into(),
            euid,
            egid,
            environment: Vec::new(),
            home: None,
            sudo_uid,
            sudo_gid,
            listed: Default::default(),
            known: Default::default(),
        }
    }

    #[test]
    fn the_box_is_never_roots() {
        assert_eq!(choose(&host(1001, None), (0, 0)), same(1001, 1001));
        assert_eq!(choose(&host(0, Some(1001)), (1005, 1006)), same(1005, 1006));
        assert_eq!(choose(&host(0, None), (1005, 0)), same(1005, 1005));
        assert_eq!(choose(&host(0, Some(1001)), (0, 0)), same(1001, 1002));
        assert_eq!(choose(&host(0, Some(0)), (0, 0)).host_uid, 735_700);
        assert_eq!(choose(&host(0, None), (0, 0)).box_uid, 1000);
    }

    #[test]
    fn the_reserved_user_exists_where_testbox_is() {
        for (map, reserved_there) in [
            ("         0          0 4294967295\n", 735_700),
            ("         0       1000          1\n         1     100000      65536\n", 65_536),
            (
                "         0          1       1000\n      1000          0          1\n      1001       1001      64536\n",
                65_536,
            ),
            ("         0       1000          1\n", 735_700),
            ("         0     100000          1\n    800000     900000      65536\n", 735_700),
            ("", 735_700),
        ] {
            assert_eq!(reserved(map), reserved_there, "{map}");
        }
    }
}
