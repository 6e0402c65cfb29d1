//! What the client says of its connection, for those who wait: whether it is there, how often it was made, and what the
//! server forbade.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Event, ServerError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock;

/// The most refused subjects that are remembered.
const DENIED_MAX: usize = 64;

/// The connection, as its events tell it.
#[derive(Debug)]
pub(super) struct Link {
    state: watch::Sender<LinkState>,
    denied: Mutex<Vec<String>>,
}

/// What is known of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) up: bool,
    /// How often it was lost.
    pub(super) lost: u64,
    /// How often the server forbade a publish.
    pub(super) denied: u64,
    /// The client does not try any more.
    pub(super) over: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(LinkState::default()),
            denied: Mutex::default(),
        }
    }
}

impl Link {
    /// Notes an event of the client.
    pub(super) fn note(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.state
                    .send_if_modified(|state| !std::mem::replace(&mut state.up, true));
            }
            Event::Disconnected => {
                tracing::warn!(provider = "nats", "the connection is lost; making it again");
                self.state.send_modify(|state| {
                    state.up = false;
                    state.lost += 1;
                });
            }
            Event::Closed | Event::ClientError(async_nats::ClientError::MaxReconnects) => {
                self.state.send_modify(|state| {
                    state.up = false;
                    state.over = true;
                });
            }
            Event::ServerError(ServerError::Other(text)) => {
                tracing::warn!(provider = "nats", said = %text.escape_debug(), "the server complains");
                if let Some(subject) = denied_subject(text) {
                    let mut denied = self.denied();
                    if denied.len() == DENIED_MAX {
                        denied.remove(0);
                    }
                    denied.push(subject.to_owned());
                    drop(denied);
                    self.state.send_modify(|state| state.denied += 1);
                }
            }
            _ => {
                tracing::debug!(provider = "nats", event = %event.to_string().escape_debug(), "the client tells");
            }
        }
    }

    pub(super) fn now(&self) -> LinkState {
        *self.state.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Waits until the connection is there, or until `wait` has passed; says whether it is.
    pub(super) async fn up_within(&self, wait: Duration) -> bool {
        let mut state = self.watch();
        let found = timeout(wait, state.wait_for(|state| state.up || state.over)).await;
        matches!(found, Ok(Ok(state)) if state.up)
    }

    /// Whether the server forbade to publish to `subject`.
    pub(super) fn is_denied(&self, subject: &str) -> bool {
        self.denied().iter().any(|denied| denied == subject)
    }

    /// Forgets that the server forbade to publish to `subject`: the permission may have been given since.
    pub(super) fn forget_denied(&self, subject: &str) {
        self.denied().retain(|denied| denied != subject);
    }

    /// Runs a request that publishes to `subject`, and ends it when the server forbids that: a request that is forbidden
    /// gets no answer.
    pub(super) async fn unless_denied<T>(
        &self,
        subject: &str,
        request: impl Future<Output = T>,
    ) -> Option<T> {
        let mut state = self.watch();
        tokio::pin!(request);
        loop {
            tokio::select! {
                done = &mut request => return Some(done),
                changed = state.changed() => {
                    if self.is_denied(subject) {
                        self.forget_denied(subject);
                        return None;
                    }
                    if changed.is_err() {
                        return Some(request.await);
                    }
                }
            }
        }
    }

    fn denied(&self) -> MutexGuard<'_, Vec<String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subject in `Permissions Violation for Publish to "a.b"`.
fn denied_subject(text: &str) -> Option<&str> {
    const BEGINS: &str = "permissions violation for publish to \"";
    let begins = text.get(..BEGINS.len())?.eq_ignore_ascii_case(BEGINS);
    let rest = text.get(BEGINS.len()..).filter(|_| begins)?;
    rest.split('"').next()
}

/// A moment that is `wait` from now.
pub(super) fn within(wait: Duration) -> tokio::time::Instant {
    clock::now() + wait
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_nats::{Event, ServerError};

    use super::{Link, denied_subject};

    #[test]
    fn the_subject_of_a_refusal_is_found() {
        assert_eq!(
            denied_subject("Permissions Violation for Publish to \"orders.created\""),
            Some("orders.created")
        );
        assert_eq!(
            denied_subject("Permissions Violation for Subscription to \"a\""),
            None
        );
        assert_eq!(denied_subject("\u{263a}"), None);
    }

    #[tokio::test]
    async fn a_forbidden_request_ends_at_once_and_another_does_not() {
        let link = Link::default();
        let forbid = async {
            tokio::task::yield_now().await;
            for subject in ["other", "mine"] {
                let text = format!("Permissions Violation for Publish to \"{subject}\"");
                link.note(&Event::ServerError(ServerError::Other(text)));
            }
        };
        let request = link.unless_denied("mine", std::future::pending::<()>());
        let (answer, ()) = tokio::join!(request, forbid);
        assert_eq!(answer, None);
        assert!(link.is_denied("other") && !link.is_denied("mine"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_waited_for() {
        let link = Link::default();
        link.note(&Event::Connected);
        assert!(link.up_within(Duration::ZERO).await);
        link.note(&Event::Disconnected);
        assert_eq!((link.now().up, link.now().lost), (false, 1));
        assert!(!link.up_within(Duration::from_secs(1)).await);
        link.note(&Event::Connected);
        assert!(link.up_within(Duration::from_secs(1)).await);
    }
}
