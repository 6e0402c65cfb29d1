use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::NameError;

/// The name of a consumer group: each group gets every message of its topic once.
///
/// 1 to [`GroupName::LEN_MAX`] bytes of `a-z`, `0-9`, `-` and `_`, beginning with a letter or a digit. Cloning costs
/// one counter.
///
/// ```
/// use ductape_schema::GroupName;
///
/// let group: GroupName = "billing".parse()?;
/// assert_eq!(group.as_str(), "billing");
/// assert!("Billing!".parse::<GroupName>().is_err());
/// # Ok::<(), ductape_schema::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// The longest group name, in bytes.
    pub const LEN_MAX: usize = 64;

    /// Checks `text` without making a name of it; what the macros use at compile time.
    ///
    /// # Errors
    ///
    /// [`NameError`] when `text` is empty, too long, or has other characters.
    pub fn check(text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::new(
                "group name is empty; write for example `group = \"billing\"`",
            ));
        }
        if let Some((at, c)) = text
            .char_indices()
            .find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'))
        {
            return Err(NameError::new(format!(
                "group name contains `{}` at position {}; allowed are a-z, 0-9, `-` and `_`",
                c.escape_debug(),
                at + 1
            )));
        }
        if text.len() > Self::LEN_MAX {
            return Err(NameError::new(format!(
                "group name has {} characters; at most {} are allowed",
                text.len(),
                Self::LEN_MAX
            )));
        }
        if text.starts_with(['-', '_']) {
            return Err(NameError::new(format!(
                "group name `{text}` begins with `-` or `_`; begin it with a letter or a digit"
            )));
        }
        Ok(())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::GroupName;

    #[test]
    fn handler_names_and_tags_are_group_names() {
        for text in ["bill", "reserve_stock", "billing-2", "1"] {
            assert_eq!(text.parse::<GroupName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn other_text_is_refused() {
        let long = "g".repeat(65);
        for text in ["", "A", "a b", "a.b", "_a", "-a", long.as_str()] {
            assert!(text.parse::<GroupName>().is_err(), "{text:?}");
        }
    }
}
