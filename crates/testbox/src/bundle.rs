//! `testbox bundle`: the box as an OCI bundle, written instead of run.

use testbox_bundle::Host;

use crate::cli::BundleArgs;
use crate::fault::{OrFault, Outcome};
use crate::{plan, print};

/// Writes the bundle and says how to run it.
pub(crate) fn bundle(args: &BundleArgs) -> Outcome {
    let plan = plan::resolve(&args.command, args.layer())?;
    let bundle = testbox_bundle::build(&plan, &Host::current()).or_fault()?;
    testbox_bundle::export(&bundle, &args.out).or_fault()?;
    print::text(&format!("{}\n", args.out.join("config.json").display()))
}
