//! What is left when a box ends, however it ends: nothing. One test a promise: `p1_` to `p17_`, `degraded_`.

fn main() {
    testbox_tests::run(vec![])
}
