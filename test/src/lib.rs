//! Test hosts, workloads and end-to-end tests.

pub mod image;
