//! Test hosts, workloads and end-to-end tests.
