//! What the guest sends: a byte that says what it is, a length, the bytes. `images/guest/agent.py` writes them.

use std::io::{self, ErrorKind, Read};

/// More than the agent ever sends at once; a longer frame is none.
const LONGEST: u32 = 1 << 20;

/// One piece of news from the guest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A job began.
    Started,
    /// It printed this.
    Stdout(Vec<u8>),
    /// It complained.
    Stderr(Vec<u8>),
    /// It ended with this code; 128 + N after signal N.
    Exited(i32),
}

impl Frame {
    /// The next frame; `None` at the end of the line.
    pub(crate) fn read(line: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 5];
        match line.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let [kind, length @ ..] = head;
        let length = u32::from_be_bytes(length);
        if length > LONGEST {
            return Err(io::Error::other(format!("a frame of {length} bytes is none of the agent's")));
        }
        let mut bytes = vec![0; length as usize];
        line.read_exact(&mut bytes)?;
        Ok(Some(match (kind, bytes.as_slice().try_into()) {
            (b'S', _) => Self::Started,
            (b'O', _) => Self::Stdout(bytes),
            (b'E', _) => Self::Stderr(bytes),
            (b'X', Ok(code)) => Self::Exited(i32::from_be_bytes(code)),
            _ => return Err(io::Error::other(format!("no frame begins with byte {kind}"))),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other() {
        let mut line: &[u8] = b"S\0\0\0\0O\0\0\0\x02hiX\0\0\0\x04\0\0\0\x03";
        let frames: Vec<Frame> = std::iter::from_fn(|| Frame::read(&mut line).unwrap()).collect();
        assert_eq!(frames, [Frame::Started, Frame::Stdout(b"hi".to_vec()), Frame::Exited(3)]);
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for wrong in [b"O\xff\xff\xff\xff".as_slice(), b"X\0\0\0\0", b"O\0\0\0\x02h", b"?\0\0\0\0"] {
            assert!(Frame::read(&mut &*wrong).is_err(), "{wrong:?}");
        }
    }
}
