//! Twin runs: the tests of real projects come out the same under plain pytest and under `testbox run -- pytest`, with
//! the project as an overlay view and with `--write`, as the caller and as an ordinary user whom root starts, with one
//! worker, a worker for each file, a worker for each test, and two at once. tests/twin/projects.toml lists
//! the projects, and with a reason each test that may come out differently; tests/twin/everyday is a suite of the
//! everyday things that real ones rely on.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

mod twin_support;

use testbox_tests::{Need, case, run};
use twin_support::{Form, everyday, same};

const BOX: &[Need] = &[Need::Box, Need::Twins];
const EVERYDAY: &[Need] = &[Need::Box, Need::Pytest];
const OF_ROOT: &[Need] = &[Need::Root, Need::Box, Need::Pytest];
const USER: &[Need] = &[Need::Root, Need::User, Need::Twins];

/// The cases of one project: name and function each.
macro_rules! twins {
    ($($project:literal: $($form:ident)*;)*) => {
        fn main() {
            run(vec![
                case("every project of the list is here", &[], every_project),
                case("everyday things: overlay", EVERYDAY, || everyday(Form::Overlay)),
                case("everyday things: write", EVERYDAY, || everyday(Form::Write)),
                case("everyday things: user", &[Need::Root, Need::User, Need::Pytest], || everyday(Form::User)),
                case("everyday things: file", EVERYDAY, || everyday(Form::File)),
                case("everyday things: test", EVERYDAY, || everyday(Form::Test)),
                case("everyday things: jobs", EVERYDAY, || everyday(Form::Jobs)),
                case("everyday things: project of root", OF_ROOT, || everyday(Form::OfRoot)),
                $($(case(concat!($project, ": ", stringify!($form)), $form.0, || same($project, $form.1)),)*)*
            ])
        }

        fn every_project() {
            let listed: Vec<String> = twin_support::List::read().project.into_iter().map(|project| project.name).collect();
            assert_eq!(listed, [$($project),*]);
        }
    };
}

/// The project as an overlay view.
#[expect(non_upper_case_globals, reason = "these names are those of the tests")]
const overlay: (&[Need], Form) = (BOX, Form::Overlay);
/// A worker for each file.
#[expect(non_upper_case_globals, reason = "these names are those of the tests")]
const file: (&[Need], Form) = (BOX, Form::File);
/// A worker for each test.
#[expect(non_upper_case_globals, reason = "these names are those of the tests")]
const test: (&[Need], Form) = (BOX, Form::Test);
/// Two workers at once.
#[expect(non_upper_case_globals, reason = "these names are those of the tests")]
const jobs: (&[Need], Form) = (BOX, Form::Jobs);
/// With `--write`.
#[expect(non_upper_case_globals, reason = "these names are those of the tests")]
const write: (&[Need], Form) = (BOX, Form::Write);
/// As an ordinary user without cgroups, whom root starts.
#[expect(non_upper_case_globals, reason = "these names are those of the tests")]
const user: (&[Need], Form) = (USER, Form::User);

twins! {
    "attrs": overlay write file test jobs;
    "autograd": overlay write file test jobs;
    "click": overlay write user file test jobs;
    "joblib": overlay write file test jobs;
    "more-itertools": overlay write file test jobs;
    "pexpect": overlay write file test jobs;
    "ptyprocess": overlay write user file test jobs;
    "waitress": overlay write file test jobs;
}
