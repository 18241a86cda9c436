//! The plugin's side of the conversation, played by a test: on a host where workers have no groups.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use testbox_model::sample::set;
use testbox_model::{StackDump, TestVerdict};

use super::*;
use crate::tests::fake_box::{plan, shell};

const HELLO: &str = r#"{"t":"hello","protocol":2,"python":"3.12.1","pytest":"8.4.0","dump_signal":61}"#;
const WANT: &str = r#"{"t":"want","w":0,"memory":null,"pids":null}"#;
const JOINED: &str = r#"{"t":"joined","w":0}"#;

struct Talk {
    witness: Witness,
    plugin: UnixStream,
    said: u64,
    start: Instant,
}

impl Talk {
    fn new(plan: &RunPlan) -> Self {
        let ((ours, theirs), start) = (UnixStream::pair().unwrap(), Instant::now());
        theirs.set_nonblocking(true).unwrap();
        Self { witness: Witness::new(Some(ours.into()), plan, start), plugin: theirs, said: 0, start }
    }

    /// A plugin that said its `hello`; the answer is taken.
    fn begun(plan: &RunPlan) -> Self {
        let mut talk = Self::new(plan);
        assert_eq!(talk.say(HELLO), []);
        talk.orders();
        talk
    }

    fn framed(&mut self, json: &str) -> Vec<u8> {
        self.said += 1;
        let mut frame: Value = serde_json::from_str(json).unwrap();
        frame["s"] = self.said.into();
        let body = frame.to_string();
        [&(body.len() as u32).to_le_bytes()[..], body.as_bytes()].concat()
    }

    fn say(&mut self, json: &str) -> Vec<Effect> {
        let framed = self.framed(json);
        self.plugin.write_all(&framed).unwrap();
        self.at(0, Witness::hear)
    }

    fn at(&mut self, ms: u64, act: impl FnOnce(&mut Witness, &mut Scene<'_>) -> Vec<Effect>) -> Vec<Effect> {
        let mut scene = Scene { now: self.start + Duration::from_millis(ms), at_ms: ms, slots: None };
        act(&mut self.witness, &mut scene)
    }

    /// The orders that came, and the descriptors of the last one that had some.
    fn orders(&mut self) -> (Vec<Value>, Vec<OwnedFd>) {
        let (mut bytes, mut fds) = (Vec::new(), Vec::new());
        loop {
            let mut buffer = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let slices = &mut [IoSliceMut::new(&mut buffer)];
            let Ok(message) = recvmsg(&self.plugin, slices, &mut control, RecvFlags::empty()) else { break };
            for received in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = received {
                    fds = received.collect();
                }
            }
            if message.bytes == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..message.bytes]);
        }
        (unframed(&bytes), fds)
    }
}

fn unframed(mut bytes: &[u8]) -> Vec<Value> {
    let mut orders = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
        let (order, rest) = rest.split_at(u32::from_le_bytes(*head) as usize);
        orders.push(serde_json::from_slice(order).unwrap());
        bytes = rest;
    }
    orders
}

/// The conversation is over, and why.
fn hung_up(effects: &[Effect], witness: &Witness) -> String {
    let [Effect::Warn(text)] = effects else { panic!("{effects:?}") };
    assert!(witness.fd().is_none());
    text.strip_prefix("pytest's plugin is no longer listened to: ").unwrap().to_owned()
}

#[test]
fn a_dump_comes_through_the_pipe_of_the_answer() {
    let mut talk = Talk::new(&plan());
    assert_eq!(talk.at(1, Witness::ask_all), [], "nobody is there yet");
    assert_eq!(talk.say(HELLO), []);
    let (orders, fds) = talk.orders();
    assert_eq!((orders[0]["t"].as_str(), orders[0]["settings"]["grouped"].as_bool()), (Some("welcome"), Some(false)));
    assert_eq!(talk.at(7, Witness::ask_all), [Effect::Dump(61)]);
    assert_eq!(talk.at(8, Witness::ask_all), [], "not so soon again");
    let dump = b"Current thread 0x1 (most recent call first):\n  File \"/p/a.py\", line 3 in spin\n";
    rustix::io::write(&fds[0], dump).unwrap();
    let evidence = talk.witness.into_evidence().unwrap();
    assert_eq!(evidence.version, "8.4.0");
    assert_eq!(evidence.stack, Some(StackDump { at_ms: 7, calls: vec!["/p/a.py:3 in spin".to_owned()] }));
}

#[test]
fn forged_and_endless_frames_end_the_conversation_with_a_warning() {
    for forged in [&[0xff; 64][..], &[2, 0, 0, 0, b'{', b'}'], &[3, 0, 0, 0, b'"', 0, b'"']] {
        let mut talk = Talk::new(&plan());
        talk.plugin.write_all(forged).unwrap();
        let effects = talk.at(1, Witness::hear);
        hung_up(&effects, &talk.witness);
    }
}

#[test]
fn what_cannot_be_said_now_ends_the_conversation() {
    let ended = r#"{"t":"ended","w":0,"status":0,"clean":true}"#;
    let wanted = |w: u32| WANT.replace("\"w\":0", &format!("\"w\":{w}"));
    let (far, farther) = (wanted(2), wanted(u32::MAX));
    let rows: [(&[&str], &str); 9] = [
        (&[HELLO], "a second `hello`"),
        (&[&far], "worker 2 is wanted, where there are 2 places"),
        (&[&farther], "worker 4294967295 is wanted, where there are 2 places"),
        (&[WANT, WANT], "worker 0 is wanted, which has not ended"),
        (&[JOINED], "there is no worker 0"),
        (&[WANT, JOINED, JOINED], "worker 0 joined twice"),
        (&[ended], "there is no worker 0"),
        (&[WANT, JOINED, ended, ended], "there is no worker 0"),
        (&[r#"{"t":"ended","w":77,"status":0,"clean":true}"#], "there is no worker 77"),
    ];
    for (frames, why) in rows {
        let mut talk = Talk::begun(&plan());
        let effects: Vec<Effect> = frames.iter().flat_map(|frame| talk.say(frame)).collect();
        assert_eq!(hung_up(&effects, &talk.witness), why, "{frames:?}");
    }
    let mut talk = Talk::new(&plan());
    let effects = talk.say(&HELLO.replace("\"protocol\":2", "\"protocol\":1"));
    assert_eq!(hung_up(&effects, &talk.witness), "it speaks version 1 of the protocol, not 2");
}

#[test]
fn a_run_without_pytest_has_no_witness() {
    assert_eq!(Witness::new(None, &plan(), Instant::now()).into_evidence(), None);
    let mut talk = Talk::new(&plan());
    drop(std::mem::replace(&mut talk.plugin, UnixStream::pair().unwrap().0));
    assert_eq!(talk.at(1, Witness::hear), []);
    assert!(talk.witness.fd().is_none());
    assert_eq!(talk.witness.into_evidence(), None);
}

#[test]
fn without_groups_the_plugin_is_asked_to_dump_and_to_kill() {
    let mut plan = plan();
    plan.testing.test_timeout = set(Some(testbox_model::Duration::from_secs(1)));
    let mut talk = Talk::begun(&plan);
    assert_eq!((talk.say(WANT), talk.say(JOINED)), (vec![], vec![]));
    let (orders, fds) = talk.orders();
    let slot = json!({"t": "slot", "w": 0, "fds": 1, "join": 0, "gauges": [], "memory": null});
    assert_eq!((orders, fds.len()), (vec![slot, json!({"t": "go", "w": 0})], 1));
    talk.say(r#"{"t":"start","w":0,"id":"a","timeout_ms":1000,"teardown_ms":null}"#);
    assert_eq!(talk.witness.next(talk.start), Some(talk.start + Duration::from_millis(750)));
    assert_eq!(talk.at(750, Witness::on_time), []);
    assert_eq!(talk.orders().0, [json!({"t": "signal", "w": 0, "signal": 61})]);
    rustix::io::write(&fds[0], b"Current thread 0x1 (most recent call first):\n  File \"/p/a.py\", line 3 in spin\n")
        .unwrap();
    talk.at(999, Witness::on_time);
    assert_eq!(talk.orders().0, [] as [Value; 0]);
    talk.at(1000, Witness::on_time);
    talk.at(1001, Witness::on_time);
    assert_eq!(talk.orders().0, [json!({"t": "signal", "w": 0, "signal": 9})]);
    let effects = talk.say(r#"{"t":"ended","w":0,"status":9,"clean":false}"#);
    let summary = "setup and call took longer than 1 s (--test-timeout)".to_owned();
    let stack = vec!["/p/a.py:3 in spin".to_owned()];
    let diagnosis =
        json!({"t": "diagnosis", "w": 0, "kind": "timeout", "summary": summary, "stack": stack, "left": []});
    assert_eq!(talk.orders().0, [diagnosis]);
    let (nodeid, verdict) = ("a".to_owned(), TestVerdict::Timeout);
    assert_eq!(
        effects,
        [Effect::Tell(RunEvent::TestKilled { nodeid, phase: "setup", verdict, summary, stack, at_ms: 0 })]
    );
    assert_eq!(talk.witness.next(talk.start), Some(talk.start + Duration::from_millis(299_750)), "only the collection");
    talk.say(r#"{"t":"done","w":0,"id":"a","outcome":"passed"}"#);
    let evidence = talk.witness.into_evidence().unwrap();
    assert_eq!((evidence.outcomes.failed, evidence.tests[0].verdict), (1, TestVerdict::Timeout));
}

#[test]
fn without_groups_who_holds_most_of_the_boxs_memory_ends_for_it() {
    let mut child = shell("exec sleep 1000").spawn().unwrap();
    let (pid, me) = (i32::try_from(child.id()).unwrap(), i32::try_from(std::process::id()).unwrap());
    let mut talk = Talk::begun(&plan());
    let joined = format!(r#"{{"t":"joined","w":0,"pid":{pid}}}"#);
    for frame in [WANT, &joined, r#"{"t":"start","w":0,"id":"a","timeout_ms":null}"#] {
        talk.say(frame);
    }
    talk.orders();
    let census = |processes, used_bytes| Census { processes, init: me, used_bytes, limit_bytes: 100 << 20 };
    let mut blames = |ms, census: Census| {
        let mut blamed = false;
        let effects = talk.at(ms, |witness, scene| {
            let (is_blamed, effects) = witness.blame(scene, &census);
            blamed = is_blamed;
            effects
        });
        assert_eq!(effects, []);
        (blamed, talk.orders().0)
    };
    assert_eq!(blames(1, census(vec![me, pid], 101 << 20)), (false, vec![]), "this process holds more, and is none");
    assert_eq!(blames(2, census(vec![me], 200 << 20)), (false, vec![]), "it is not among them");
    let ask = json!({"t": "signal", "w": 0, "signal": 61});
    assert_eq!(blames(3, census(vec![pid], 101 << 20)), (true, vec![ask]), "first it is asked where it is");
    assert!(child.try_wait().unwrap().is_none());
    assert_eq!(blames(4, census(vec![pid], 101 << 20)), (true, vec![]));
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(blames(300, census(vec![], 101 << 20)), (true, vec![]), "what it held comes back in a moment");
    assert_eq!(blames(600, census(vec![], 101 << 20)), (false, vec![]), "or not");
    let effects = talk.say(r#"{"t":"ended","w":0,"status":9,"clean":false}"#);
    let [Effect::Tell(RunEvent::TestKilled { verdict, summary, .. })] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*verdict, TestVerdict::Memory);
    assert!(summary.ends_with(" when the box had used all of its 100.0 MiB"), "{summary}");
}

#[test]
fn a_run_that_is_ended_says_where_its_test_was() {
    let mut talk = Talk::begun(&plan());
    talk.say(WANT);
    talk.say(JOINED);
    let (_, fds) = talk.orders();
    talk.say(r#"{"t":"start","w":0,"id":"a","timeout_ms":null}"#);
    assert_eq!(talk.at(5, Witness::ask_all), [Effect::Dump(61)]);
    assert_eq!(talk.orders().0, [json!({"t": "signal", "w": 0, "signal": 61})]);
    rustix::io::write(&fds[0], b"Current thread 0x1 (most recent call first):\n  File \"/p/a.py\", line 3 in spin\n")
        .unwrap();
    let evidence = talk.witness.into_evidence().unwrap();
    let calls = vec!["/p/a.py:3 in spin".to_owned()];
    assert_eq!(evidence.tests[0].stack, calls);
    assert_eq!(evidence.stack, Some(StackDump { at_ms: 5, calls }));
}

#[test]
fn a_worker_begins_when_the_one_before_it_has_ended() {
    let mut talk = Talk::begun(&plan());
    let after = |w: u32, before: u32| format!(r#"{{"t":"want","w":{w},"memory":null,"pids":null,"after":{before}}}"#);
    let said = |kind: &str, w: u32| format!(r#"{{"t":"{kind}","w":{w},"status":0,"clean":true}}"#);
    let kinds = |talk: &mut Talk| {
        let kind = |order: &Value| format!("{} {}", order["t"].as_str().unwrap(), order["w"]);
        talk.orders().0.iter().map(kind).collect::<Vec<_>>()
    };
    for frame in [WANT, JOINED, &after(1, 0), &said("joined", 1)] {
        assert_eq!(talk.say(frame), []);
    }
    assert_eq!(kinds(&mut talk), ["slot 0", "go 0", "slot 1"], "worker 1 is ready and has to wait");
    talk.say(&said("ended", 0));
    assert_eq!(kinds(&mut talk), ["diagnosis 0", "go 1"]);
    for (frames, expected) in [
        (vec![after(0, 0), said("joined", 0)], ["slot 0", "go 0"]),
        (vec![said("ended", 1), after(1, 7), said("joined", 1)], ["diagnosis 1", "slot 1"]),
    ] {
        frames.iter().for_each(|frame| assert_eq!(talk.say(frame), []));
        assert_eq!(kinds(&mut talk)[..2], expected, "there is nobody to wait for");
    }
    assert_eq!(talk.say(&said("ended", 1)), [], "it had begun");
}

#[test]
fn a_death_between_two_tests_is_a_warning() {
    let mut talk = Talk::begun(&plan());
    talk.say(WANT);
    let effects = talk.say(r#"{"t":"ended","w":0,"status":11,"clean":false}"#);
    let text = "worker 0, which ran no test, died by SIGSEGV (11) before its tests were over (crashed)";
    assert_eq!(effects, [Effect::Warn(text.to_owned())]);
}

#[test]
fn a_plugin_that_reads_nothing_is_left_alone() {
    let mut talk = Talk::begun(&plan());
    let mut effects = Vec::new();
    for _ in 0..1_000_000 {
        if talk.witness.fd().is_none() {
            break;
        }
        effects.extend(talk.say(WANT));
        if talk.witness.fd().is_some() {
            effects.extend(talk.say(r#"{"t":"ended","w":0,"status":0,"clean":true}"#));
        }
    }
    assert_eq!(hung_up(&effects, &talk.witness), "it does not read its orders");
    assert!(talk.said < 10_000, "{}", talk.said);
}

#[test]
fn a_flood_is_taken_in_turns() {
    let mut talk = Talk::begun(&plan());
    let start = |number| format!(r#"{{"t":"start","w":0,"id":"test_{number}","timeout_ms":18446744073709551615}}"#);
    let frames: Vec<u8> = (0..500).flat_map(|number| talk.framed(&start(number))).collect();
    talk.plugin.write_all(&frames).unwrap();
    let now = talk.start;
    let mut turns = 0;
    while turns == 0 || talk.witness.next(now) == Some(now) {
        turns += 1;
        talk.at(0, if turns == 1 { Witness::hear } else { Witness::on_time });
    }
    let started = talk.witness.into_evidence().unwrap().running.len();
    assert_eq!(started, 500, "after {turns} turns");
}

#[test]
fn notes_are_warnings_of_bounded_length() {
    let mut talk = Talk::begun(&plan());
    let note = json!({"t": "note", "text": "y".repeat(10_000)});
    assert_eq!(talk.say(&note.to_string()), [Effect::Warn("y".repeat(NOTE_CHARS))]);
}

#[test]
fn the_collection_has_a_limit_of_its_own() {
    let mut plan = plan();
    plan.testing.collect_timeout = set(Some(testbox_model::Duration::from_secs(5)));
    let mut silent = Talk::new(&plan);
    assert_eq!(silent.at(60_000, Witness::on_time), [], "it may be no pytest at all");
    let mut slow = Talk::begun(&plan);
    assert_eq!(slow.witness.next(slow.start), Some(slow.start + Duration::from_millis(4750)));
    assert_eq!(slow.at(4749, Witness::on_time), []);
    assert_eq!(slow.at(4750, Witness::on_time), [Effect::Dump(61)]);
    assert_eq!(slow.witness.next(slow.start), Some(slow.start + Duration::from_secs(5)));
    slow.witness.shift(Duration::from_secs(1));
    assert_eq!(slow.at(5999, Witness::on_time), []);
    assert_eq!(slow.at(6000, Witness::on_time), [Effect::Stop(StopCause::CollectTimeout)]);
    assert_eq!(slow.at(9000, Witness::on_time), []);
    for over in [r#"{"t":"collected","total":3}"#, r#"{"t":"phase","name":"tests"}"#] {
        let mut fast = Talk::begun(&plan);
        fast.say(over);
        assert_eq!(fast.at(60_000, Witness::on_time), []);
    }
}
