//! How the binary is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    if of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu" {
        // At a fixed address nothing has to be relocated at the start. So the tables of constants stay pages of the file,
        // shared by daemon, nursery and every shim, instead of half a megabyte of each one's own.
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
