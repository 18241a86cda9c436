//! testbox.
fn main() {}
