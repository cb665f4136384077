//! containerd runtime shim.
fn main() {}
