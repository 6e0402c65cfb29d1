//! When tokens are good.

use std::time::Duration;

use super::{at, both, claims, here};
use crate::session::refusal::Refusal;
use crate::session::token::{end_of, open, sign};

#[test]
fn clocks_may_differ_by_thirty_seconds() {
    for keys in both() {
        // From at(0) to at(60).
        let token = sign(&keys, &claims("s")).unwrap();
        let verdict = |now| open(&keys, &token, &here(), now).map(drop);
        let before = |seconds| at(0) - Duration::from_secs(seconds);
        assert_eq!(verdict(at(0)), Ok(()));
        assert_eq!(verdict(at(60)), Ok(()));
        assert_eq!(verdict(at(60 + 29)), Ok(()));
        assert_eq!(verdict(at(60 + 31)), Err(Refusal::Expired));
        assert_eq!(verdict(before(29)), Ok(()));
        assert_eq!(verdict(before(31)), Err(Refusal::NotYet));
        assert_eq!(verdict(std::time::UNIX_EPOCH), Err(Refusal::NotYet));
    }
}

#[test]
fn a_token_ends_with_a_second_and_is_good_for_all_of_its_life() {
    let now = at(0) + Duration::from_millis(1);
    assert_eq!(end_of(now, Duration::from_mins(1)), at(61));
    assert_eq!(end_of(at(0), Duration::from_mins(1)), at(60));
    let far = end_of(at(0), Duration::from_hours(24 * 365 * 20_000));
    assert_eq!(far, std::time::UNIX_EPOCH + Duration::from_secs(253_402_300_799));
}
