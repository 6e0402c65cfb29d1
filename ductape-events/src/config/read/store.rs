//! Where the store is, what is recorded in it, and for how long.

#[cfg(feature = "store")]
use ductape_store::tracking::Retention;
use serde_json::Value;

#[cfg(feature = "store")]
use super::pointer_to;
use super::{Reader, Table, kind_of};
#[cfg(feature = "store")]
use crate::tracking::{Asked, read_age, read_bytes};

impl Reader<'_> {
    /// What is to be recorded: `tracking` and `payloads`.
    #[cfg(feature = "store")]
    pub(super) fn tracking(&mut self, table: &Table, pointer: &str) -> Asked {
        let at = pointer_to(pointer, "tracking");
        let policy = match self.text(table, pointer, "tracking").map(|text| text.parse()) {
            None => None,
            Some(Ok(policy)) => Some(policy),
            Some(Err(problem)) => {
                self.find(&at, problem);
                None
            }
        };
        let payloads = match table.get("payloads") {
            None => None,
            Some(Value::Bool(payloads)) => Some(*payloads),
            Some(other) => {
                let message = format!("is {}; write `true` or `false`", kind_of(other));
                self.find(&pointer_to(pointer, "payloads"), message);
                None
            }
        };
        Asked { policy, payloads }
    }

    /// Where the store is: `store`, or `url` in the table of that name.
    pub(super) fn store(&mut self, root: &Table) -> Option<String> {
        let Some(Value::Object(table)) = root.get("store") else {
            return self.text(root, "", "store");
        };
        self.unknown_keys(table, "/store", "the store", &["url", "retention"]);
        let retention = table.get("retention").and_then(Value::as_object);
        if let Some(retention) = retention {
            self.unknown_keys(retention, "/store/retention", "the retention", &["age", "size"]);
        } else if let Some(other) = table.get("retention") {
            let message = format!(
                "is {}; write a table, for example `{{ age = \"30d\", size = \"10GB\" }}`",
                kind_of(other)
            );
            self.find("/store/retention", message);
        }
        self.text(table, "/store", "url")
    }

    /// How long, and how much of it, the history is kept.
    #[cfg(feature = "store")]
    pub(super) fn retention(&mut self, root: &Table) -> Retention {
        let mut retention = Retention::default();
        let asked = root.get("store").and_then(|store| store.get("retention"));
        let Some(asked) = asked.and_then(Value::as_object) else {
            return retention;
        };
        let pointer = "/store/retention";
        match self.text(asked, pointer, "age").map(|text| read_age(&text)) {
            Some(Ok(age)) => retention.age_max = Some(age),
            Some(Err(problem)) => self.find(&pointer_to(pointer, "age"), problem),
            None => {}
        }
        match self.text(asked, pointer, "size").map(|text| read_bytes(&text)) {
            Some(Ok(bytes)) => retention.bytes_max = Some(bytes),
            Some(Err(problem)) => self.find(&pointer_to(pointer, "size"), problem),
            None => {}
        }
        retention
    }
}
