//! Workers in slots of their own: what the kernel did to one of them is said of it, and of nobody else.

use testbox_model::{PytestEvidence, RunEvent, TestOutcome, TestVerdict};

use crate::ground::{MIB, plan};
use crate::plugin::played;

/// A Python worker that dumps its stacks when it is asked.
fn python(program: &str) -> String {
    let dumps = "import faulthandler, os; faulthandler.register(61, file=open(os.environ[\"DUMPS\"], \"w\"))";
    format!("exec python3 -c '{dumps}\n{program}'")
}

/// Grows by 3 MiB each time it is woken, 20 times a second, to 80 MiB.
const HOG: &str = "import select; l=[]\ndef grow(): l.append(bytearray(3<<20)); select.select([],[],[],0.05)\nfor i in range(27): grow()";

fn verdicts(pytest: &PytestEvidence) -> Vec<(&str, Option<TestOutcome>, TestVerdict)> {
    pytest.tests.iter().map(|row| (row.nodeid.as_str(), row.outcome, row.verdict)).collect()
}

pub(crate) fn a_worker_runs_its_batch_in_its_slot() {
    let (outcome, events, diagnosis) = played(&plan(512 * MIB, 64), |plugin| {
        let settings = plugin.hello();
        assert_eq!(settings["grouped"], true);
        let given = plugin.want(0, Some(100 * MIB), None);
        assert_eq!((given.join.len(), given.order["memory"].as_u64()), (3, Some(100 * MIB)));
        let names: Vec<&str> = given.gauges.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["peak", "stat", "usage", "cpu", "pids"]);
        let mut child = plugin.start(0, &given, "true");
        plugin.test_begins(0, "a", None, None);
        plugin.test_ends(0, "a", "passed");
        let diagnosis = plugin.reap(0, &mut child, true);
        plugin.goodbye(0);
        diagnosis
    });
    assert_eq!((diagnosis["kind"].as_str(), diagnosis["summary"].as_str()), (Some("none"), Some("")));
    let pytest = outcome.evidence.pytest.unwrap();
    assert_eq!(verdicts(&pytest), [("a", Some(TestOutcome::Passed), TestVerdict::Passed)]);
    assert!(events.iter().any(|event| matches!(event, RunEvent::Test { nodeid, .. } if nodeid == "a")), "{events:?}");
    assert_eq!((outcome.evidence.stop, outcome.warnings), (None, vec![]));
}

pub(crate) fn a_worker_that_takes_all_its_memory_is_named() {
    let (outcome, events, diagnosis) = played(&plan(512 * MIB, 64), |plugin| {
        plugin.hello();
        let given = plugin.want(0, Some(40 * MIB), None);
        let mut child = plugin.start(0, &given, &python(HOG));
        plugin.test_begins(0, "a", None, None);
        let diagnosis = plugin.reap(0, &mut child, false);
        plugin.test_ends(0, "a", "failed");
        plugin.goodbye(1);
        diagnosis
    });
    assert_eq!(diagnosis["kind"], "memory");
    let summary = diagnosis["summary"].as_str().unwrap();
    let largest = summary.strip_prefix("used all of its 40.0 MiB (peak 40.0 MiB, 1 process; largest: ");
    assert!(largest.is_some_and(|largest| largest.contains("python3 -c")), "{summary}");
    let stack = diagnosis["stack"].as_array().unwrap();
    assert!(stack[0].as_str().unwrap().contains(" in grow"), "{stack:?}");
    let pytest = outcome.evidence.pytest.unwrap();
    assert_eq!(verdicts(&pytest), [("a", Some(TestOutcome::Failed), TestVerdict::Memory)]);
    assert!(!pytest.tests[0].stack.is_empty());
    assert_eq!(outcome.evidence.memory.oom_kills, 0, "not the box's own verdict: {:?}", outcome.evidence.memory);
    assert!(!events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, RunEvent::TestKilled { nodeid, .. } if nodeid == "a")));
}
