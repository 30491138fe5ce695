//! Benches of the spine.
fn main() {}
