//! Bundle to running box: the only crate that sees libcontainer.
