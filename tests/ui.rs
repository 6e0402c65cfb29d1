//! What does not compile says why, at the right token; what should compile does.
//!
//! `TRYBUILD=overwrite cargo test -p ductape-tests --test ui` writes the messages anew: read the difference.

#[test]
fn mistakes_are_explained_and_correct_code_compiles() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/topic/fail/*.rs");
    cases.compile_fail("ui/consumer/fail/*.rs");
    cases.pass("ui/topic/pass/*.rs");
    cases.pass("ui/consumer/pass/*.rs");
}
