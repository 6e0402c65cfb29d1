//! `ductape`: what programs have registered in their store, for people and for tools in other languages.
//!
//! It reads the store alone: no broker is asked, and nothing is changed.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to a person

mod arguments;
mod schemas;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use ductape_events::Ductape;
use ductape_events::store::{Store, StoreKeys, StoreUrl};

use crate::arguments::{Arguments, Command};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments = Arguments::read();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ductape: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Outcome<()> {
    let ductape = open(&arguments).await?;
    let messaging = ductape.messaging();
    let done = match &arguments.command {
        Command::Topics => {
            for broker in messaging.list().await? {
                for topic in messaging.topics().list(&broker.tag).await? {
                    print(&format!("{}\tv{}\t{}\n", topic.tag, topic.version, topic.name))?;
                }
            }
            Ok(())
        }
        Command::AsyncApi => {
            let document = messaging.asyncapi().await?;
            print(&format!("{}\n", serde_json::to_string_pretty(&document)?))
        }
        Command::Schemas { out } => schemas::write(&messaging, out).await,
    };
    ductape.shutdown().await?;
    done
}

/// A program without topics over the store.
async fn open(arguments: &Arguments) -> Outcome<Ductape> {
    // One that is not there would be made, and be empty.
    if let Some(file) = arguments.store.strip_prefix("sqlite:")
        && !Path::new(file.trim_start_matches("//")).is_file()
    {
        let text = format!("there is no store at {file}; name one with `--store`, or set DUCTAPE_STORE");
        return Err(text.into());
    }
    let keys = match &arguments.keys {
        Some(keys) => StoreKeys::parse(keys)?,
        None => StoreKeys::none(),
    };
    let store = Store::open(&StoreUrl::parse(&arguments.store)?, keys).await?;
    let builder = Ductape::builder().without_inventory().in_process().store(store);
    let builder = builder.environment(&arguments.environment);
    let builder = match &arguments.product {
        Some(product) => builder.product(product),
        None => builder,
    };
    Ok(builder.build().await?)
}

/// Prints; a reader that has enough is no error.
fn print(text: &str) -> Outcome<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
