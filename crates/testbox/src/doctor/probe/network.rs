//! The network wall: the interfaces that a box sees.

use super::super::finding::{Finding, State};
use super::super::ground::Ground;
use super::super::trial::Trial;

const SUBJECT: &str = "network";
/// Prints `NAME FLAGS` for each interface.
const SCRIPT: &str = "cd /sys/class/net && for i in *; do read -r flags < $i/flags && echo $i $flags; done";
/// IFF_UP (netdevice(7)).
const UP: u32 = 1;

/// Whether a box has loopback up, and nothing else.
pub(super) fn probe(ground: &mut Ground) -> Finding {
    if ground.readback.is_none() {
        return Finding::unknown(SUBJECT);
    }
    match Trial::of(&["/bin/sh", "-c", SCRIPT]).run(ground) {
        Ok(said) if interfaces_up(&said.output) == ["lo"] => {
            Finding::ok(SUBJECT, "own namespace, loopback up and nothing else")
        }
        Ok(said) => {
            Finding::missing(SUBJECT, format!("the interfaces of a box are `{}`", said.output.replace('\n', ", ")))
        }
        Err(fault) => Finding::failed(SUBJECT, State::Missing, &fault),
    }
}

fn interfaces_up(listed: &str) -> Vec<&str> {
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    let flags = |text: &str| text.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(UP);
    pairs.filter(|(_, text)| flags(text) & UP != 0).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_interfaces_that_are_up_count() {
        assert_eq!(interfaces_up("lo 0x9\nsit0 0x80\ntunl0 0x80"), ["lo"]);
        assert_eq!(interfaces_up("eth0 0x1003\nlo 0x8"), ["eth0"]);
        assert_eq!(interfaces_up("what ever"), ["what"], "what is not understood is not harmless");
    }
}
