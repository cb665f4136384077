//! How the shim is linked.

fn main() {
    // Relative relocations in a bitmap (DT_RELR, glibc 2.36): a twentieth of the size, and each
    // shim reads them all when it starts.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo::rerun-if-changed=build.rs");
}
