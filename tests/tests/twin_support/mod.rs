//! What a twin run is made of: the suites, copies of their sources, the two runs, and the comparison.

mod copy;
mod list;
mod outcomes;
mod places;
mod runs;
mod suite;

pub(crate) use list::List;
pub(crate) use runs::Form;

use suite::Suite;

/// Differences that a failure shows at most.
const SHOWN: usize = 20;

/// Fails unless the tests of the listed project `name` come out in a box of this form as they do without a box.
pub(crate) fn same(name: &str, form: Form) {
    compare(&Suite::of(List::read().find(name)), form);
}

/// As [`same`], for the everyday things that suites rely on.
pub(crate) fn everyday(form: Form) {
    compare(&Suite::everyday(), form);
}

fn compare(suite: &Suite, form: Form) {
    let plain = runs::plain(suite);
    assert!(plain.passed() >= 10, "next to nothing passes under plain pytest: {plain:#?}");
    let boxed = runs::boxed(suite, form);
    let differences = plain.differences(&boxed);
    let exceptions: Vec<_> = suite.differs.iter().filter(|exception| exception.is_for(form.word())).collect();
    let excused = |id: &str| exceptions.iter().any(|exception| id == exception.id);
    let others: Vec<&String> = differences.iter().filter(|(id, _)| !excused(id)).map(|(_, text)| text).collect();
    assert!(others.is_empty(), "{} differences:\n{:#?}", others.len(), &others[..others.len().min(SHOWN)]);
    for exception in &exceptions {
        let differs = differences.iter().any(|(id, _)| *id == exception.id);
        assert!(differs, "{} does not differ any more, although {}", exception.id, exception.reason);
    }
    if exceptions.is_empty() {
        assert_eq!(plain.exit, boxed.exit, "exit status of pytest");
    }
}
