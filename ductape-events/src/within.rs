//! Limits on how long something may take. A timer is made only for what has to wait at all, which most handlers and the
//! embedded brokers do not.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

/// Awaits `future` for `limit` from its first wait on; `None` when that was not enough.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match at_once(future.as_mut()).await {
        Some(answer) => Some(answer),
        None => timeout(limit, future).await.ok(),
    }
}

/// Awaits `future` until `deadline`; `None` when it took longer.
pub(crate) async fn until<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match at_once(future.as_mut()).await {
        Some(answer) => Some(answer),
        None => timeout_at(deadline, future).await.ok(),
    }
}

/// The answer of `future` if it does not have to wait for it.
async fn at_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::{until, within};
    use crate::clock;

    const LIMIT: Duration = Duration::from_secs(3);

    async fn after(wait: Duration) -> Duration {
        tokio::time::sleep(wait).await;
        wait
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_or_comes_in_time_is_answered() {
        assert_eq!(within(LIMIT, async { 1 }).await, Some(1));
        assert_eq!(within(LIMIT, after(LIMIT / 2)).await, Some(LIMIT / 2));
        let passed = clock::now();
        assert_eq!(until(passed, async { 1 }).await, Some(1));
        assert_eq!(
            until(clock::now() + LIMIT, after(LIMIT / 2)).await,
            Some(LIMIT / 2)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_is_given_up_at_the_limit() {
        let began = clock::now();
        assert_eq!(within(LIMIT, pending::<()>()).await, None);
        assert_eq!(began.elapsed(), LIMIT);
        assert_eq!(until(began + 2 * LIMIT, pending::<()>()).await, None);
        assert_eq!(began.elapsed(), 2 * LIMIT);
    }
}
