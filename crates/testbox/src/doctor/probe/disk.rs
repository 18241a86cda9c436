//! The disk wall: a box fills its scratch space, in bytes and in files, and must meet the end of it.

use testbox_model::{Bytes, DiskUse};

use super::super::finding::{Finding, State};
use super::super::ground::Ground;
use super::super::trial::Trial;

const SUBJECT: &str = "disk";
/// 2 MiB of scratch space bring 1024 inodes.
const SCRATCH_BYTES: u64 = 2 << 20;
/// Writes more bytes, then more files, than there is room for; says which of both went well.
const SCRIPT: &str = "\
head -c 4194304 /dev/zero > /tmp/bytes 2> /dev/null && echo more bytes than allowed were written
rm -f /tmp/bytes
i=0; (while [ $i -lt 4096 ]; do : > /tmp/f$i || exit 1; i=$((i + 1)); done) 2> /dev/null && echo more files than allowed were made
:";

/// Whether scratch space ends where it should.
pub(super) fn probe(ground: &mut Ground) -> Finding {
    if ground.readback.is_none() {
        return Finding::unknown(SUBJECT);
    }
    let trial = Trial { scratch_bytes: Some(SCRATCH_BYTES), ..Trial::of(&["/bin/sh", "-c", SCRIPT]) };
    match trial.run(ground) {
        Ok(said) if said.output.is_empty() => match said.disk.iter().find(|disk| disk.name == "scratch") {
            Some(scratch) => Finding::ok(SUBJECT, bounded(scratch)),
            None => Finding::missing(SUBJECT, "the box has no scratch space"),
        },
        Ok(said) => Finding::missing(SUBJECT, said.output.replace('\n', "; ")),
        Err(fault) => Finding::failed(SUBJECT, State::Missing, &fault),
    }
}

fn bounded(scratch: &DiskUse) -> String {
    format!("a tmpfs of {} refused more bytes, and more than {} files", Bytes(SCRATCH_BYTES), scratch.inodes)
}
