//! The headers of a message: UTF-8 names and values, in order.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

use crate::error::{Error, ErrorKind, Result};

/// A header's name and value.
pub type Header = (ByteString, ByteString);

/// The headers of a message, in the order they were added; a name occurs once.
///
/// Headers that are the same for every message of a topic are shared, not copied: [`Headers::shared`] takes them, and
/// what is added to one message is kept beside them. Cloning costs a counter for each of the two, and no allocation.
///
/// ```
/// use ductape_providers::Headers;
///
/// let mut headers = Headers::new();
/// headers.insert("tenant", "acme");
/// assert_eq!(headers.get("tenant"), Some("acme"));
/// assert_eq!(headers.len(), 1);
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    shared: Option<Arc<[Header]>>,
    /// Whether the shared ones are good by themselves: checked once for all messages that have them.
    shared_good: bool,
    /// Shared by clones until one of them changes; `None` rather than empty.
    own: Option<Arc<Vec<Header>>>,
}

impl Headers {
    /// The most headers that a message may carry.
    pub const COUNT_MAX: usize = 64;
    /// The longest name, in bytes.
    pub const NAME_LEN_MAX: usize = 128;
    /// The longest value, in bytes.
    pub const VALUE_LEN_MAX: usize = 8 * 1024;
    /// The most that all names and values may have together, in bytes.
    pub const TOTAL_LEN_MAX: usize = 32 * 1024;

    /// No headers.
    pub const fn new() -> Self {
        Self {
            shared: None,
            shared_good: false,
            own: None,
        }
    }

    /// Headers that many messages have in common.
    pub fn shared(headers: Arc<[Header]>) -> Self {
        let mut headers = Self {
            shared: Some(headers),
            shared_good: false,
            own: None,
        };
        headers.shared_good = headers.check().is_ok();
        headers
    }

    /// The headers shared with other messages, and the message's own, which override them: for a provider that stores the
    /// shared ones once.
    pub fn parts(&self) -> (Option<&Arc<[Header]>>, &[Header]) {
        (self.shared.as_ref(), self.own())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let of = |headers: &'_ [Header]| headers.iter().position(|(n, _)| n == name);
        let own = self.own();
        if let Some(at) = of(own) {
            return Some(&own[at].1);
        }
        let shared = self.shared.as_deref()?;
        of(shared).map(|at| &*shared[at].1)
    }

    /// Sets `name` to `value`, in place of what was there.
    pub fn insert(&mut self, name: impl Into<ByteString>, value: impl Into<ByteString>) {
        let (name, value) = (name.into(), value.into());
        let own = Arc::make_mut(self.own.get_or_insert_default());
        if let Some(header) = own.iter_mut().find(|(n, _)| *n == name) {
            header.1 = value;
        } else {
            own.push((name, value));
        }
    }

    /// Removes `name`, and says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        if let Some(shared) = self
            .shared
            .take_if(|shared| shared.iter().any(|(n, _)| n == name))
        {
            let mut own: Vec<Header> = shared.iter().filter(|(n, _)| n != name).cloned().collect();
            for (n, v) in self.own().iter().filter(|(n, _)| n != name) {
                match own.iter_mut().find(|(known, _)| known == n) {
                    Some(header) => header.1 = v.clone(),
                    None => own.push((n.clone(), v.clone())),
                }
            }
            self.own = Some(Arc::new(own)).filter(|own| !own.is_empty());
            return true;
        }
        if !self.own().iter().any(|(n, _)| n == name) {
            return false;
        }
        let own = Arc::make_mut(self.own.get_or_insert_default());
        own.retain(|(n, _)| n != name);
        if own.is_empty() {
            self.own = None;
        }
        true
    }

    fn own(&self) -> &[Header] {
        self.own.as_deref().map_or(&[], Vec::as_slice)
    }

    /// All headers: the shared ones that are not overridden, then the message's own.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let (shared, own) = (self.shared.as_deref().unwrap_or_default(), self.own());
        let shared = shared
            .iter()
            .filter(move |(n, _)| !own.iter().any(|(own, _)| own == n));
        shared.chain(own).map(|(n, v)| (&**n, &**v))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.own().is_empty() && self.shared.as_deref().is_none_or(<[Header]>::is_empty)
    }

    /// Checks the names, the values and the limits. Providers call it before any I/O.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HeaderInvalid`] naming the header and the limit. Names are `a-z`, `0-9`, `-`, `_` and `.`; values
    /// are any UTF-8.
    pub fn check(&self) -> Result<()> {
        if self.own.is_none() && (self.shared_good || self.shared.is_none()) {
            return Ok(());
        }
        let invalid = |message: String| Err(Error::new(ErrorKind::HeaderInvalid, message));
        let (mut count, mut total) = (0, 0);
        for (name, value) in self.iter() {
            count += 1;
            total += name.len() + value.len();
            if name.is_empty() || name.len() > Self::NAME_LEN_MAX {
                return invalid(format!(
                    "a header's name has {} bytes; it must have 1 to {}",
                    name.len(),
                    Self::NAME_LEN_MAX
                ));
            }
            let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
            if !name.bytes().all(allowed) {
                return invalid(format!(
                    "header name {name:?} has a character other than a-z, 0-9, `-`, `_` and `.`"
                ));
            }
            if value.len() > Self::VALUE_LEN_MAX {
                return invalid(format!(
                    "header `{name}` has {} bytes; at most {} are allowed",
                    value.len(),
                    Self::VALUE_LEN_MAX
                ));
            }
        }
        if count > Self::COUNT_MAX {
            return invalid(format!(
                "{count} headers; at most {} are allowed",
                Self::COUNT_MAX
            ));
        }
        if total > Self::TOTAL_LEN_MAX {
            return invalid(format!(
                "headers of {total} bytes; at most {} are allowed",
                Self::TOTAL_LEN_MAX
            ));
        }
        Ok(())
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl Eq for Headers {}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<N: Into<ByteString>, V: Into<ByteString>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut all = Self::new();
        for (name, value) in headers {
            all.insert(name, value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Headers};

    fn shared() -> Headers {
        let headers: [Header; 2] = [("a".into(), "1".into()), ("b".into(), "2".into())];
        Headers::shared(headers.into())
    }

    #[test]
    fn own_headers_override_shared_ones() {
        let mut headers = shared();
        headers.insert("b", "3");
        headers.insert("c", "4");
        assert_eq!(
            headers.iter().collect::<Vec<_>>(),
            [("a", "1"), ("b", "3"), ("c", "4")]
        );
        assert_eq!(headers.get("b"), Some("3"));
    }

    #[test]
    fn a_removed_shared_header_is_gone() {
        let mut headers = shared();
        headers.insert("b", "3");
        assert!(headers.remove("b"));
        assert!(!headers.remove("b"));
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "1")]);
    }

    #[test]
    fn a_clone_does_not_see_what_is_changed_later() {
        let mut headers = shared();
        headers.insert("c", "4");
        let before = headers.clone();
        headers.insert("c", "5");
        headers.remove("a");
        assert_eq!(
            before.iter().collect::<Vec<_>>(),
            [("a", "1"), ("b", "2"), ("c", "4")]
        );
        assert!(headers.remove("c") && headers.remove("b") && headers.is_empty());
    }

    #[test]
    fn shared_headers_are_checked_too() {
        let of = |name: &'static str| Headers::shared([(name.into(), "1".into())].into());
        assert!(of("good").check().is_ok());
        assert!(of("Bad").check().is_err());
        let mut headers = of("Bad");
        headers.insert("good", "1");
        assert!(headers.check().is_err());
        let mut headers = of("good");
        headers.insert("Bad", "1");
        assert!(headers.check().is_err());
    }

    #[test]
    fn limits_hold_at_the_boundary() {
        let with = |name: usize, value: usize| {
            [("n".repeat(name), "v".repeat(value))]
                .into_iter()
                .collect::<Headers>()
                .check()
                .is_ok()
        };
        assert!(with(128, 8192));
        assert!(!with(129, 1));
        assert!(!with(0, 1));
        assert!(!with(1, 8193));
        let many = |n: usize| {
            (0..n)
                .map(|i| (format!("h{i}"), "v"))
                .collect::<Headers>()
                .check()
                .is_ok()
        };
        assert!(many(64));
        assert!(!many(65));
        let heavy = |n: usize| {
            (0..n)
                .map(|i| (format!("h{i}"), "v".repeat(8190)))
                .collect::<Headers>()
                .check()
        };
        assert!(heavy(4).is_ok());
        assert!(heavy(5).is_err());
        assert!([("Upper", "v")].into_iter().collect::<Headers>().check().is_err());
        assert!(
            [("ok", "any ☺ \" \\ \u{0}")]
                .into_iter()
                .collect::<Headers>()
                .check()
                .is_ok()
        );
    }
}
