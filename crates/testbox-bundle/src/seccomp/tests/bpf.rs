//! The kernel's side: a machine for classic BPF programs over `struct seccomp_data`, and the stack of programs.

use seccompiler::SeccompAction;

use super::calls::Call;

pub(super) const ARCH_X86_64: u32 = 0xc000_003e;
pub(super) const ARCH_I386: u32 = 0x4000_0003;

/// What the kernel answers to a call under these programs, loaded in this order.
pub(super) fn answer(programs: &[Vec<u8>], call: &Call, arch: u32) -> u32 {
    programs.iter().rev().map(|program| run(program, call, arch)).fold(SeccompAction::Allow.into(), |first, next| {
        let severity = |answer: u32| (answer & 0xffff_0000).cast_signed();
        if severity(next) < severity(first) { next } else { first }
    })
}

/// One program; panics on what the kernel's verifier would refuse.
fn run(program: &[u8], call: &Call, arch: u32) -> u32 {
    assert!(program.len().is_multiple_of(8) && program.len() <= 4096 * 8);
    let data = |offset: u32| match offset {
        0 => call.number,
        4 => arch,
        16..64 if offset.is_multiple_of(4) => {
            let word = call.args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { word as u32 } else { (word >> 32) as u32 }
        }
        _ => panic!("load from offset {offset}"),
    };
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let i = &program[at * 8..at * 8 + 8];
        let (code, jt, jf) = (u16::from_ne_bytes([i[0], i[1]]), usize::from(i[2]), usize::from(i[3]));
        let k = u32::from_ne_bytes([i[4], i[5], i[6], i[7]]);
        at += 1;
        match code {
            0x20 => accumulator = data(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += if accumulator == k { jt } else { jf },
            0x25 => at += if accumulator > k { jt } else { jf },
            0x35 => at += if accumulator >= k { jt } else { jf },
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}
