//! One record, many readers: terminal and JSON.
