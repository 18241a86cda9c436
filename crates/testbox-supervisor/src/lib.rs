//! The event loop: descriptors in, record out.
