//! Switches the named fault points (`src/fault.rs`) on in every profile but release and those that inherit from it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(fault_points)");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        println!("cargo::rustc-cfg=fault_points");
    }
}
