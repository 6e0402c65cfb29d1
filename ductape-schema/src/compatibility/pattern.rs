//! As much of regular expressions as the keys of maps need: those that `schemars` writes for integers.

const UNSIGNED: &str = r"^\d+$";
const SIGNED: &str = r"^-?\d+$";

/// Whether `name` matches; `None` where that is not known.
pub(super) fn matches(pattern: &str, name: &str) -> Option<bool> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Digits of other scripts, and a line's end after the digits, match by the rules of some dialects.
    if !name.is_ascii() || name.contains('\n') {
        return None;
    }
    match pattern {
        UNSIGNED => Some(digits(name)),
        SIGNED => Some(digits(name.strip_prefix('-').unwrap_or(name))),
        _ => None,
    }
}

/// Whether all that matches `inner` matches `outer`; `false` where that is not known.
pub(super) fn implies(inner: &str, outer: &str) -> bool {
    inner == outer || (inner == UNSIGNED && outer == SIGNED)
}
