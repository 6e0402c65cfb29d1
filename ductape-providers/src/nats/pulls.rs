//! What the server was asked for and has not sent yet.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Message, Subject};
use bytes::Bytes;
use serde::Serialize;

use super::declare::MEMBERS;

/// How long the server keeps a pull that it can't serve.
const PULL_FOR: Duration = Duration::from_secs(30);
/// How often the server says that a pull is still there.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// The most pulls whose size is remembered.
const PULLS_MAX: usize = 64;
/// What a pull that only keeps the member's place is called.
const PLACE: &str = "place";

/// The pulls of one subscription.
#[derive(Debug)]
pub(super) struct Pulls {
    /// Where messages come to, each pull's under a name of its own.
    pub(super) inbox: String,
    /// Where pulls are sent to.
    pub(super) subject: Subject,
    /// How many messages were asked for and have not come.
    pub(super) requested: usize,
    /// Pulls whose end was not told, with their sizes; the end of one that was served in full never is.
    open: VecDeque<(u64, usize)>,
    token: u64,
}

#[derive(Serialize)]
struct Pull<'a> {
    batch: usize,
    #[serde(skip_serializing_if = "is_zero")]
    expires: u64,
    #[serde(skip_serializing_if = "is_zero")]
    idle_heartbeat: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max_bytes: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_wait: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn nanos(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)
}

impl Pulls {
    pub(super) fn new(inbox: String, stream: &str, consumer: &str) -> Self {
        Self {
            inbox,
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
            requested: 0,
            open: VecDeque::new(),
            token: 0,
        }
    }

    /// What was asked for is not coming.
    pub(super) fn forget(&mut self) {
        self.requested = 0;
        self.open.clear();
    }

    /// Asks for `batch` more: where the answer is to go, and what to send.
    pub(super) fn ask(&mut self, batch: usize, pinned: bool, pin: Option<&str>) -> (String, Bytes) {
        if self.requested == 0 {
            self.open.clear();
        }
        self.token += 1;
        self.requested += batch;
        if self.open.len() == PULLS_MAX {
            self.open.pop_front();
        }
        self.open.push_back((self.token, batch));
        let pull = Pull {
            batch,
            expires: nanos(PULL_FOR),
            idle_heartbeat: nanos(HEARTBEAT),
            max_bytes: 0,
            no_wait: false,
            group: pinned.then_some(MEMBERS),
            id: pin,
        };
        (format!("{}.{}", self.inbox, self.token), body(&pull))
    }

    /// A pull that no message is small enough for: it is refused, and the server counts it as a sign of life.
    pub(super) fn keep_place(&self, pin: Option<&str>) -> (String, Bytes) {
        let pull = Pull {
            batch: 1,
            expires: 0,
            idle_heartbeat: 0,
            max_bytes: 1,
            no_wait: true,
            group: Some(MEMBERS),
            id: pin,
        };
        (format!("{}.{PLACE}", self.inbox), body(&pull))
    }

    /// A message came.
    pub(super) fn came(&mut self) {
        self.requested = self.requested.saturating_sub(1);
    }

    /// The server ended a pull; says whether it was one for messages.
    pub(super) fn ended(&mut self, message: &Message) -> bool {
        let token = message.subject.rsplit('.').next().unwrap_or_default();
        let Ok(token) = token.parse::<u64>() else {
            return false;
        };
        let at = self.open.iter().position(|(open, _)| *open == token);
        let size = at.and_then(|at| self.open.remove(at)).map_or(0, |(_, size)| size);
        let left = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Pending-Messages"))
            .and_then(|left| left.as_str().parse().ok())
            .unwrap_or(size);
        self.requested = self.requested.saturating_sub(left);
        true
    }
}

fn body(pull: &Pull<'_>) -> Bytes {
    // Numbers and names are always JSON.
    serde_json::to_vec(pull).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use async_nats::{HeaderMap, Message};
    use serde_json::{Value, json};

    use super::Pulls;

    fn ended(reply: &str, left: Option<&str>) -> Message {
        let headers = left.map(|left| {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Pending-Messages", left);
            headers
        });
        Message {
            subject: reply.into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn what_a_pull_did_not_bring_is_asked_for_again() {
        let mut pulls = Pulls::new("i".to_owned(), "s", "c");
        let (first, _) = pulls.ask(10, false, None);
        let (second, _) = pulls.ask(5, false, None);
        (0..4).for_each(|_| pulls.came());
        assert_eq!(pulls.requested, 11);
        assert!(pulls.ended(&ended(&first, Some("6"))));
        assert_eq!(pulls.requested, 5);
        // Refused before anything came, without a number.
        assert!(pulls.ended(&ended(&second, None)));
        assert!(pulls.ended(&ended(&second, None)));
        assert_eq!(pulls.requested, 0);
        let (place, _) = pulls.keep_place(Some("p"));
        assert!(!pulls.ended(&ended(&place, None)));
    }

    #[test]
    fn a_pull_says_who_pulls() {
        let mut pulls = Pulls::new("i".to_owned(), "s", "c");
        let read = |body: bytes::Bytes| serde_json::from_slice::<Value>(&body).unwrap();
        let (reply, body) = pulls.ask(7, true, Some("p"));
        assert_eq!(reply, "i.1");
        let wanted = json!({"batch": 7, "expires": 30_000_000_000_u64, "idle_heartbeat": 5_000_000_000_u64,
            "group": "members", "id": "p"});
        assert_eq!(read(body), wanted);
        let (_, body) = pulls.ask(1, false, None);
        assert!(read(body).get("group").is_none());
        let (_, body) = pulls.keep_place(Some("p"));
        let wanted = json!({"batch": 1, "max_bytes": 1, "no_wait": true, "group": "members", "id": "p"});
        assert_eq!(read(body), wanted);
    }
}
