//! Makes cargo see migrations that are added.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
