//! What the producer and the consumers of the fault tests have in common.

use std::path::Path;
use std::time::Duration;

use ductape_events::DuctapeBuilder;
use ductape_events::prelude::*;

/// A step was taken.
#[topic("faults:step-taken", key = key)]
#[derive(Clone, Debug)]
pub(crate) struct StepTaken {
    /// Which walker took it.
    #[sample("a")]
    pub(crate) key: String,
    /// Its number; it grows within a key, also over restarts of the producer.
    pub(crate) n: u64,
    /// What a consumer does with it.
    pub(crate) kind: Kind,
}

/// What a consumer does with a step.
#[payload]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Handles it.
    Plain,
    /// Fails at the first attempt.
    FailsOnce,
    /// Asks at the first attempt to see it again after a second.
    Later,
    /// Gives it up.
    Dead,
    /// Handles it in half a second.
    Slow,
    /// Never ends at the first attempt.
    Stuck,
}

/// A program on the store at `path`, or, where that is a `ductape.toml`, on the broker that it names.
pub(crate) fn program(path: &Path, lease: Duration) -> DuctapeBuilder {
    let builder = if path.extension().is_some_and(|ending| ending == "toml") {
        Ductape::builder().config_file(path)
    } else {
        let config = format!(
            "[brokers.faults.environments.dev]\ntype = \"EMBEDDED\"\npath = {:?}\n",
            path.display().to_string()
        );
        Ductape::builder().config_text(config)
    };
    builder.environment("dev").lease(lease)
}

/// Ends the process with a reason.
#[allow(clippy::print_stderr)] // it is what the test shows
pub(crate) fn fail(reason: &str) -> ! {
    eprintln!("{reason}");
    std::process::exit(3)
}
