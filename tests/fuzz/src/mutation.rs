//! Making new inputs of old ones.

use arbtest::arbitrary::{Result, Unstructured};

/// Longest input.
const MAX_BYTES: usize = 64 << 10;

/// Words that parsers may take for something else than they look like.
const WORDS: [&[u8]; 24] = [
    b"",
    b"0",
    b"-1",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e400",
    b"nan",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"\n",
    b"\r\n",
    b"\x1b[",
    b"\x1b]8;;",
    b"::error::",
    b"\xff\xfe",
    b"\xc3",
    b"\xe2\x80\xae",
];

/// Some changes of bytes in one of the seeds.
///
/// # Errors
/// Where there is no randomness left.
pub fn bytes(random: &mut Unstructured<'_>, seeds: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut input = random.choose(seeds)?.clone();
    for _ in 0..random.int_in_range(1..=8)? {
        change(random, &mut input, seeds)?;
        input.truncate(MAX_BYTES);
    }
    Ok(input)
}

/// Some changes of lines in one of the seeds, and of bytes in some of these lines.
///
/// # Errors
/// Where there is no randomness left.
pub fn lines(random: &mut Unstructured<'_>, seeds: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut input = split(random.choose(seeds)?);
    for _ in 0..random.int_in_range(1..=8)? {
        let (one, other) = (random.choose_index(input.len().max(1))?, random.choose_index(input.len().max(1))?);
        match random.int_in_range(0..=4)? {
            0 if !input.is_empty() => drop(input.remove(one)),
            1 if !input.is_empty() => input.insert(one, input[other].clone()),
            2 if !input.is_empty() => input.swap(one, other),
            3 if !input.is_empty() => change(random, &mut input[one], seeds)?,
            _ => {
                let foreign = split(random.choose(seeds)?);
                input.insert(one, random.choose(&foreign)?.clone());
            }
        }
    }
    let mut input = input.concat();
    input.truncate(MAX_BYTES);
    Ok(input)
}

fn split(seed: &[u8]) -> Vec<Vec<u8>> {
    seed.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn change(random: &mut Unstructured<'_>, input: &mut Vec<u8>, seeds: &[Vec<u8>]) -> Result<()> {
    let start = random.choose_index(input.len() + 1)?;
    let end = input.len().min(start + random.int_in_range(0..=32)?);
    match random.int_in_range(0..=7)? {
        0 => input[start..end].iter_mut().for_each(|byte| *byte ^= 0x20),
        1 => drop(input.splice(start..end, std::iter::repeat_n(random.arbitrary::<u8>()?, end - start))),
        2 => drop(input.drain(start..end)),
        3 => drop(input.splice(start..end, random.choose(&WORDS)?.iter().copied())),
        4 => {
            let piece = input[start..end].to_vec();
            let times = random.int_in_range(1..=200)?;
            drop(input.splice(start..start, piece.repeat(times)));
        }
        5 => {
            let length = random.int_in_range(1..=16)?;
            drop(input.splice(start..end, random.bytes(length)?.iter().copied()));
        }
        6 => input.truncate(start),
        _ => {
            let other = random.choose(seeds)?;
            let from = random.choose_index(other.len() + 1)?;
            let to = other.len().min(from + random.int_in_range(0..=256)?);
            drop(input.splice(start..end, other[from..to].iter().copied()));
        }
    }
    Ok(())
}
