//! The little of D-Bus that asking systemd takes: one connection without threads, calls, their answers, and signals.
//!
//! Messages are encoded and decoded by zbus's wire format. Its connections need a runtime with threads, which a process
//! that forks a box must not have.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use zbus::wire::serialized::{Context, Data};
use zbus::wire::{Endian, to_bytes};
use zbus::{Type, Variant};

/// No answer of systemd comes near it.
const LONGEST_MESSAGE: u32 = 1 << 20;
/// Bytes before the header's fields.
const FIXED: usize = 16;

/// The kinds of messages.
const CALL: u8 = 1;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;
/// A signal's.
pub(crate) const SIGNAL: u8 = 4;

/// The fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

type Header<'a> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'a>)>);

/// A connection to a bus; nothing on it takes longer than its deadline.
#[derive(Debug)]
pub(crate) struct Bus {
    stream: UnixStream,
    deadline: Instant,
    serial: u32,
}

/// Whom a call is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    /// The types of its arguments.
    pub(crate) signature: &'a str,
}

/// The bus itself.
const fn of_bus<'a>(member: &'a str, signature: &'a str) -> Method<'a> {
    let (destination, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
    Method { destination, path, interface: destination, member, signature }
}

/// What came.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    /// The call that it answers.
    reply_serial: Option<u32>,
    member: Option<String>,
    error_name: Option<String>,
    body: Data<'static, 'static>,
}

impl Bus {
    /// Connects to the socket of a bus, as the user who runs this.
    ///
    /// # Errors
    /// Nobody listens, or the bus does not let this user in.
    pub(crate) fn connect(socket: &Path, limit: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        let mut bus = Self { stream, deadline: Instant::now() + limit, serial: 0 };
        bus.authenticate()?;
        let hello = bus.call(of_bus("Hello", ""), &())?;
        bus.answer(hello)?;
        Ok(bus)
    }

    /// From now on these signals come, too.
    pub(crate) fn subscribe(&mut self, rule: &str) -> io::Result<()> {
        let call = self.call(of_bus("AddMatch", "s"), &rule)?;
        self.answer(call).map(drop)
    }

    /// Sends a call with its arguments, and returns the number by which the answer names it.
    pub(crate) fn call<T: serde::Serialize + Type>(&mut self, method: Method<'_>, arguments: &T) -> io::Result<u32> {
        let body = match method.signature {
            "" => Vec::new(),
            _ => to_bytes(Context::new(Endian::Little, 0), arguments).map_err(io::Error::other)?.to_vec(),
        };
        self.serial += 1;
        let message = message(method, self.serial, &body)?;
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(&message)?;
        Ok(self.serial)
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; FIXED];
        self.read(&mut bytes)?;
        let endian = if bytes[0] == b'B' { Endian::Big } else { Endian::Little };
        let number = |at: usize| {
            let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            if endian == Endian::Big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let (body_len, fields_len) = (number(4), number(12));
        if body_len > LONGEST_MESSAGE || fields_len > LONGEST_MESSAGE {
            return Err(io::Error::other(format!("a message of {body_len} + {fields_len} bytes is none of systemd's")));
        }
        let header_len = (FIXED + fields_len as usize).next_multiple_of(8);
        bytes.resize(header_len + body_len as usize, 0);
        self.read(&mut bytes[FIXED..])?;
        let body = Data::new(bytes.split_off(header_len), Context::new(endian, 0));
        Message::new(&Data::new(bytes, Context::new(endian, 0)), body)
    }

    fn answer(&mut self, call: u32) -> io::Result<Message> {
        loop {
            let message = self.next()?;
            if message.answers(call)? {
                return Ok(message);
            }
        }
    }

    /// `EXTERNAL`: the kernel tells the bus who connects.
    fn authenticate(&mut self) -> io::Result<()> {
        let uid: String = rustix::process::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 1024 {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.extend(byte);
        }
        if !line.starts_with(b"OK ") {
            let said = String::from_utf8_lossy(&line).trim().to_owned();
            return Err(io::Error::other(format!(
                "the bus does not let user {} in: `{said}`",
                rustix::process::geteuid()
            )));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => buffer = &mut buffer[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(too_slow()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(too_slow()) } else { Ok(left) }
    }
}

impl Message {
    fn new(header: &Data<'_, '_>, body: Data<'static, 'static>) -> io::Result<Self> {
        let ((_, kind, _, _, _, _, fields), _): (Header<'_>, usize) = header.deserialize().map_err(io::Error::other)?;
        let mut message = Self { kind, reply_serial: None, member: None, error_name: None, body };
        for field in fields {
            match field {
                (REPLY_SERIAL, Variant::U32(serial)) => message.reply_serial = Some(serial),
                (MEMBER, Variant::Str(name)) => message.member = Some(name.to_string()),
                (ERROR_NAME, Variant::Str(name)) => message.error_name = Some(name.to_string()),
                _ => {}
            }
        }
        Ok(message)
    }

    /// Whether it is the answer to this call.
    ///
    /// # Errors
    /// It is, and the answer is no.
    pub(crate) fn answers(&self, call: u32) -> io::Result<bool> {
        match self.kind {
            ANSWER => Ok(self.reply_serial == Some(call)),
            ERROR if self.reply_serial == Some(call) => Err(io::Error::other(self.complaint())),
            _ => Ok(false),
        }
    }

    /// The arguments of this signal.
    pub(crate) fn signal<'m, T: serde::Deserialize<'m> + Type>(&'m self, member: &str) -> Option<T> {
        let is_it = self.kind == SIGNAL && self.member.as_deref() == Some(member);
        is_it.then(|| self.body.deserialize().ok().map(|(arguments, _)| arguments)).flatten()
    }

    fn complaint(&self) -> String {
        let text: Option<(&str, usize)> = self.body.deserialize().ok();
        let name = self.error_name.as_deref().unwrap_or("an error without a name");
        text.map_or_else(|| name.to_owned(), |(text, _)| format!("{text} ({name})"))
    }
}

/// A call as bytes: little-endian, version 1.
fn message(method: Method<'_>, serial: u32, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![b'l', CALL, 0, 1];
    bytes.extend(length(body.len())?);
    bytes.extend(serial.to_le_bytes());
    bytes.extend([0; 4]);
    let Method { destination, path, interface, member, signature } = method;
    let names =
        [(PATH, b'o', path), (INTERFACE, b's', interface), (MEMBER, b's', member), (DESTINATION, b's', destination)];
    for (code, kind, text) in names {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend([code, 1, kind, 0]);
        bytes.extend(length(text.len())?);
        bytes.extend(text.bytes().chain([0]));
    }
    if let Some(length) = u8::try_from(signature.len()).ok().filter(|length| *length > 0) {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend([SIGNATURE, 1, b'g', 0, length]);
        bytes.extend(signature.bytes().chain([0]));
    }
    let fields = length(bytes.len() - FIXED)?;
    bytes[FIXED - 4..FIXED].copy_from_slice(&fields);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    Ok(bytes)
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    u32::try_from(length).map(u32::to_le_bytes).map_err(io::Error::other)
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests;
