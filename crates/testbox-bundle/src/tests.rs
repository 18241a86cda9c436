//! Bundles of whole plans on fake hosts in temporary folders.

mod boxes;
mod environments;
mod export;
mod fenced;
mod fixture;
mod hostile;
mod spec;
