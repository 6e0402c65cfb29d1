//! What the test that `#[topic]` generates does: holds the topic to its committed contract, or writes that.

use std::env;
use std::fs;
use std::io;
use std::path::Path;

use ductape_providers::EventName;
use ductape_schema::Contract;
use ductape_schema::compatibility::{Mode, check};

use crate::topic::{Topic, TopicDescriptor};

/// Chooses what the tests of contracts do: `accept` writes them.
const VARIABLE: &str = "DUCTAPE_CONTRACTS";
const ACCEPT: &str = "`DUCTAPE_CONTRACTS=accept cargo test`";

/// Fails where `T` is not as its contract says; a topic without a contract promises nothing. With `DUCTAPE_CONTRACTS=accept`
/// it writes the contract. `folder` is that of the crate's Cargo.toml.
///
/// # Panics
///
/// That is how a test fails.
#[allow(clippy::panic)] // it is the body of a test
pub fn contract_test<T: Topic>(folder: &str) {
    let accepts = match env::var(VARIABLE) {
        Err(_) => false,
        Ok(value) if value == "accept" => true,
        Ok(value) => panic!(
            "`{VARIABLE}` is `{}`; it takes `accept`, which writes contracts",
            value.escape_debug()
        ),
    };
    if let Err(message) = held(T::descriptor(), Path::new(folder), accepts) {
        panic!("{message}");
    }
}

fn held(topic: &TopicDescriptor, folder: &Path, accepts: bool) -> Result<(), String> {
    let event: EventName = topic.event.parse().map_err(|error| format!("{error}"))?;
    let within = Contract::path(&event, topic.version);
    let shown = within.display();
    let path = folder.join(&within);
    let text = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("the contract `{shown}` can't be read: {error}")),
    };
    let chosen = topic.compatibility.and_then(|mode| mode.parse::<Mode>().ok());
    let now = |before: Option<&Contract>| Contract {
        event: event.clone(),
        version: topic.version,
        compatibility: chosen
            .or(before.map(|before| before.compatibility))
            .unwrap_or_default(),
        owner: before.map(|before| before.owner.clone()).unwrap_or_default(),
        schema: (topic.schema)(),
        sample: (topic.sample)(),
    };
    if accepts {
        // What nobody can read has nothing to keep.
        let before = text
            .as_deref()
            .and_then(|text| Contract::read(text, &event, topic.version).ok());
        let now = now(before.as_ref()).text();
        if text.as_ref() == Some(&now) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, now));
        return written.map_err(|error| format!("the contract `{shown}` can't be written: {error}"));
    }
    let Some(text) = text else { return Ok(()) };
    let contract = Contract::read(&text, &event, topic.version)
        .map_err(|error| format!("the contract `{shown}` can't be used: {error}"))?;
    let now = now(Some(&contract));
    if now == contract {
        return Ok(());
    }
    let (at, next) = (topic.location, topic.version.saturating_add(1));
    let breaks = check(&contract.schema, &now.schema, contract.compatibility);
    if breaks.is_empty() {
        let differs: Vec<&str> = [
            ("schema", now.schema != contract.schema),
            ("sample", now.sample != contract.sample),
            ("compatibility", now.compatibility != contract.compatibility),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect();
        return Err(format!(
            "`{}` ({at}) changed in a way that its contract `{shown}` allows, and does not show yet ({}); write it with {ACCEPT}, \
             and commit it",
            topic.type_name,
            differs.join(", ")
        ));
    }
    let breaks: Vec<String> = breaks.iter().map(|one| format!("\n  - {one}")).collect();
    Err(format!(
        "`{}` ({at}) breaks its contract `{shown}` ({}):{}\nkeep to it, or write `version = {next}` in the #[topic] for a version \
         beside this one, or accept the change with {ACCEPT}",
        topic.type_name,
        contract.compatibility,
        breaks.concat()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::held;
    use crate::topic;
    use crate::topic::Topic;

    mod first {
        use super::topic;

        #[topic("contracts:paid")]
        pub(super) struct Paid {
            #[sample("7")]
            pub(super) order: String,
        }
    }

    mod second {
        use super::topic;

        #[topic("contracts:paid", compatibility = "backward")]
        pub(super) struct Paid {
            #[sample("7")]
            pub(super) order: String,
            pub(super) note: Option<String>,
        }
    }

    mod third {
        use super::topic;

        #[topic("contracts:paid")]
        pub(super) struct Paid {
            #[sample(7)]
            pub(super) order: u32,
        }
    }

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ductape-contracts-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("contracts/contracts/paid.v1.json")
        }

        fn told<T: Topic>(&self) -> String {
            held(T::descriptor(), &self.0, false).err().unwrap_or_default()
        }

        fn accept<T: Topic>(&self) {
            held(T::descriptor(), &self.0, true).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_topic_without_a_contract_promises_nothing() {
        let folder = Folder::new("none");
        assert_eq!(folder.told::<first::Paid>(), "");
        assert!(!folder.0.exists(), "and nothing is written unasked");
    }

    #[test]
    fn an_accepted_topic_is_held_to_its_contract() {
        let folder = Folder::new("held");
        folder.accept::<first::Paid>();
        assert_eq!(folder.told::<first::Paid>(), "");
        let told = folder.told::<second::Paid>();
        assert!(
            told.contains("changed in a way that its contract `contracts/contracts/paid.v1.json` allows"),
            "{told}"
        );
        assert!(told.contains("(schema, sample)"), "{told}");
        let told = folder.told::<third::Paid>();
        assert!(
            told.contains("breaks its contract `contracts/contracts/paid.v1.json` (backward):"),
            "{told}"
        );
        assert!(
            told.contains(
                "\n  - `$.order`: new consumers break on old messages: new consumers take an integer here, and old messages may \
                 have a string\n"
            ),
            "{told}"
        );
        assert!(
            told.contains("write `version = 2`") && told.contains("DUCTAPE_CONTRACTS=accept cargo test"),
            "{told}"
        );
        folder.accept::<third::Paid>();
        assert_eq!(folder.told::<third::Paid>(), "");
    }

    #[test]
    fn the_owner_and_the_compatibility_stay_when_it_is_written_anew() {
        let folder = Folder::new("owner");
        folder.accept::<first::Paid>();
        let text = fs::read_to_string(folder.file()).unwrap();
        let text = text
            .replace("\"owner\": \"\"", "\"owner\": \"Payments\"")
            .replace("\"backward\"", "\"full\"");
        fs::write(folder.file(), &text).unwrap();
        assert_eq!(folder.told::<first::Paid>(), "");
        folder.accept::<third::Paid>();
        let text = fs::read_to_string(folder.file()).unwrap();
        assert!(
            text.contains("\"owner\": \"Payments\"") && text.contains("\"compatibility\": \"full\""),
            "{text}"
        );
        // What the attribute says comes first.
        folder.accept::<second::Paid>();
        let text = fs::read_to_string(folder.file()).unwrap();
        assert!(text.contains("\"compatibility\": \"backward\""), "{text}");
    }

    #[test]
    fn a_contract_that_cannot_be_read_is_told() {
        let folder = Folder::new("bad");
        folder.accept::<first::Paid>();
        fs::write(folder.file(), "<<<<<<< HEAD").unwrap();
        let told = folder.told::<first::Paid>();
        assert!(
            told.contains("the contract `contracts/contracts/paid.v1.json` can't be used: it is not JSON"),
            "{told}"
        );
        folder.accept::<first::Paid>();
        assert_eq!(folder.told::<first::Paid>(), "");
    }
}
