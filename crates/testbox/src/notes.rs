//! What a person should know about a plan before it runs, although it hinders nothing.

use testbox_model::RunPlan;

/// One sentence each; `plugin`: testbox's pytest plugin takes part.
pub(crate) fn of(plan: &RunPlan, plugin: bool) -> Vec<String> {
    let mut notes = testbox_config::notes(plan);
    if !plugin {
        notes.extend(testbox_config::unheeded(plan, why_no_plugin(plan)));
    }
    notes
}

/// The same for a plan that nothing was made of yet.
pub(crate) fn of_plan(plan: &RunPlan) -> Vec<String> {
    of(plan, !plan.no_plugin.value && testbox_pytest::plugin::with_plugin(&plan.command).is_some())
}

fn why_no_plugin(plan: &RunPlan) -> &'static str {
    match testbox_pytest::recognise(&plan.command) {
        None => "the command is not pytest",
        Some(_) if plan.no_plugin.value => "with `no-plugin` pytest runs untouched",
        Some(_) => "the command's interpreter ignores PYTHONPATH (`-E`, `-I`) and with it testbox's plugin",
    }
}

#[cfg(test)]
mod tests {
    use testbox_model::{Isolate, Origin, Setting, sample};

    use super::*;

    fn plan(command: &str) -> RunPlan {
        let mut plan = sample::plan();
        plan.command = command.split(' ').map(Into::into).collect();
        plan.testing.isolate = Setting::new(Isolate::File, Origin::Flag("--isolate".into()));
        plan
    }

    #[test]
    fn what_nothing_heeds_is_named_with_the_reason() {
        assert!(of_plan(&plan("pytest -x")).is_empty());
        assert_eq!(
            of_plan(&plan("make test")),
            ["`isolate` (flag --isolate) has no effect: the command is not pytest"]
        );
        let mut untouched = plan("pytest");
        untouched.no_plugin.value = true;
        assert!(of_plan(&untouched)[0].contains("with `no-plugin` pytest runs untouched"));
        assert!(of(&plan("pytest"), false)[0].contains("ignores PYTHONPATH"));
    }

    #[test]
    fn defaults_are_not_named() {
        let mut plan = sample::plan();
        plan.command = vec!["make".into()];
        assert!(of_plan(&plan).is_empty());
    }
}
