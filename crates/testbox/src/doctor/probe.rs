//! The probes, in the order of doing and of printing: each stands on those before it.

mod boxes;
mod disk;
mod kernel;
mod landlock;
mod limits;
mod machine;
mod network;
mod overlay;
mod project;
mod python;
mod restrictions;
mod switches;

use testbox_model::Wall;

use super::finding::Finding;
use super::ground::Ground;
use super::leftovers;

/// What a probe is: it looks at one thing and says what it saw.
type Probe = fn(&mut Ground) -> Vec<Finding>;

/// Every probe.
pub(super) const ALL: &[Probe] = &[
    |ground| vec![limits::probe(ground, Wall::Memory)],
    |ground| vec![limits::probe(ground, Wall::Pids)],
    |ground| vec![limits::probe(ground, Wall::Cpu)],
    |ground| vec![limits::probe(ground, Wall::Io)],
    |ground| vec![boxes::namespaces(ground)],
    |ground| vec![boxes::capabilities(ground)],
    |ground| vec![boxes::seccomp(ground)],
    |ground| vec![network::probe(ground)],
    |ground| vec![disk::probe(ground)],
    |ground| vec![overlay::probe(ground)],
    |ground| vec![project::probe(ground)],
    |_| vec![python::probe()],
    |_| vec![landlock::probe()],
    |ground| kernel::probe(ground),
    |_| machine::probe(),
    |ground| vec![leftovers::finding(&ground.garbage)],
];
