use std::os::unix::net::UnixListener;

use zbus::ObjectPath;

use super::*;

const LIMIT: Duration = Duration::from_secs(5);
const CALL_ME: Method<'static> =
    Method { destination: "a.b", path: "/c", interface: "d.e", member: "F", signature: "ssa(sv)a(sa(sv))" };

/// The other end of a connection that let the caller in.
fn served<T: Send>(serve: impl FnOnce(&mut Bus) -> T + Send, ask: impl FnOnce(io::Result<Bus>)) -> T {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::scope(|threads| {
        let server = threads.spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut bus = Bus { stream, deadline: Instant::now() + LIMIT, serial: 0 };
            let mut line = vec![0; format!("\0AUTH EXTERNAL {}\r\n", hexadecimal_uid()).len()];
            bus.read(&mut line).unwrap();
            assert_eq!(line, format!("\0AUTH EXTERNAL {}\r\n", hexadecimal_uid()).as_bytes());
            bus.stream.write_all(b"OK 1234deadbeef\r\n").unwrap();
            let mut begin = [0; 7];
            bus.read(&mut begin).unwrap();
            let hello = bus.next().unwrap();
            assert_eq!((hello.kind, hello.member.as_deref()), (CALL, Some("Hello")));
            bus.stream.write_all(&reply(ANSWER, 1, &[], "")).unwrap();
            serve(&mut bus)
        });
        ask(Bus::connect(&socket, LIMIT));
        server.join().unwrap()
    })
}

fn hexadecimal_uid() -> String {
    rustix::process::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect()
}

/// What a bus sends: an answer, an error or a signal, with the fields that it needs.
fn reply(kind: u8, serial: u32, names: &[(u8, &str)], text: &str) -> Vec<u8> {
    let mut fields: Vec<(u8, Variant<'_>)> = names.iter().map(|(code, name)| (*code, Variant::from(*name))).collect();
    fields.push((REPLY_SERIAL, Variant::from(serial)));
    let body =
        if text.is_empty() { vec![] } else { to_bytes(Context::new(Endian::Little, 0), &text).unwrap().to_vec() };
    let header: Header<'_> = (b'l', kind, 0, 1, u32::try_from(body.len()).unwrap(), 9, fields);
    let mut bytes = to_bytes(Context::new(Endian::Little, 0), &header).unwrap().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(body);
    bytes
}

#[test]
fn a_call_arrives_as_it_was_sent_and_its_answer_is_known() {
    type Arguments<'a> = (&'a str, &'a str, Vec<(&'a str, Variant<'a>)>, Vec<(&'a str, Vec<(&'a str, Variant<'a>)>)>);
    let sent = || -> Arguments<'static> { ("x.scope", "fail", vec![("PIDs", Variant::from(vec![7u32]))], vec![]) };
    let arrived = served(
        |bus| {
            let call = bus.next().unwrap();
            bus.stream.write_all(&reply(ANSWER, 2, &[], "")).unwrap();
            let (name, mode, properties, auxiliary): Arguments<'_> = call.body.deserialize().unwrap().0;
            assert_eq!((name, mode, properties, auxiliary), sent());
            call.member
        },
        |bus| {
            let mut bus = bus.unwrap();
            let call = bus.call(CALL_ME, &sent()).unwrap();
            let answer = bus.next().unwrap();
            assert!(answer.answers(call).unwrap() && !answer.answers(call + 1).unwrap());
        },
    );
    assert_eq!(arrived.as_deref(), Some("F"));
}

#[test]
fn an_error_says_what_the_other_end_said() {
    served(
        |bus| {
            bus.next().unwrap();
            bus.stream.write_all(&reply(ERROR, 2, &[(ERROR_NAME, "a.b.Denied")], "not you")).unwrap();
        },
        |bus| {
            let error = bus.unwrap().subscribe("type='signal'").unwrap_err();
            assert_eq!(error.to_string(), "not you (a.b.Denied)");
        },
    );
}

#[test]
fn signals_are_known_by_name_and_types() {
    served(
        |bus| bus.stream.write_all(&reply(SIGNAL, 1, &[(MEMBER, "News")], "text")).unwrap(),
        |bus| {
            let message = bus.unwrap().next().unwrap();
            assert_eq!(message.signal::<&str>("News"), Some("text"));
            assert_eq!(message.signal::<&str>("Other"), None);
            assert_eq!(message.signal::<(u32, ObjectPath<'_>, &str, &str)>("News"), None, "other types");
        },
    );
}

#[test]
fn what_is_no_message_is_an_error() {
    for wrong in [
        b"l\x04\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0".as_slice(),
        b"l\x04\0\x01\0\0\0\0\0\0\0\0\x08\0\0\0zzzzzzzz",
        b"l",
    ] {
        served(|bus| bus.stream.write_all(wrong).unwrap(), |bus| assert!(bus.unwrap().next().is_err(), "{wrong:?}"));
    }
    assert!(Bus::connect(Path::new("/nonexistent/bus"), LIMIT).is_err());
}

#[test]
fn a_silent_bus_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(dir.path().join("bus")).unwrap();
    let error = Bus::connect(&dir.path().join("bus"), Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
