//! A tour of everything that can be asked of message brokers, section by section: `cargo run --example seed_tour`.
//!
//! It needs no server: the brokers are in the process, and the store is in memory, or where `DUCTAPE_STORE` says. Each line that it
//! prints is checked; the first that is not as it should be ends it with an error.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to a person
#![allow(clippy::disallowed_methods)] // the clock rule is the library's

mod checked;
mod creating;
mod events;
mod messages;
mod service;
mod tracking;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use ductape_events::prelude::*;
use ductape_events::session::SessionKeys;
use ductape_events::store::{Store, StoreKeys, StoreUrl};

use crate::checked::Result;

/// The product of all sections.
const PRODUCT: &str = "my-product";
/// The environment of all sections.
const ENV: &str = "prd";

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(()) => {
            println!("\nEverything was as it should be.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn tour() -> Result<()> {
    let began = SystemTime::now();
    let store = open_store().await?;
    println!("The store: {store}");
    let stock = Arc::new(events::Stock::default());
    let ductape = Ductape::builder()
        .product(PRODUCT)
        .environment(ENV)
        .in_process()
        .store(store.clone())
        .session_keys(SessionKeys::parse(
            "tour:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
        )?)
        .state(Arc::clone(&stock))
        .build()
        .await?;
    ductape.start().await?;
    tracking::tidy(&ductape).await?;

    messages::quick_example(&ductape).await?;
    messages::what_you_can_do(&ductape)?;
    messages::supported_providers()?;
    messages::producing_messages(&ductape).await?;
    messages::with_session(&ductape).await?;
    messages::consuming_messages(&ductape, &stock).await?;
    creating::listing_and_fetching(&ductape).await?;
    creating::creating_a_message_broker(&ductape).await?;
    creating::provider_config_shapes(&ductape).await?;
    creating::managing_topics(&ductape).await?;
    creating::event_format(&ductape).await?;
    tracking::message_tracking(&ductape).await?;
    service::brokers_service(&ductape).await?;
    service::event_stats_and_replay(&ductape, began).await?;
    service::dead_letters(&ductape, &stock).await?;
    service::idempotency(&ductape).await?;
    service::error_handling(&ductape).await?;
    service::best_practices(&ductape).await?;

    ductape.shutdown().await?;
    store.close().await;
    Ok(())
}

/// The store that the variable names, with secrets and payloads sealed.
async fn open_store() -> Result<Store> {
    let url = match env::var("DUCTAPE_STORE") {
        Ok(text) => StoreUrl::parse(&text)?,
        Err(_) => StoreUrl::memory(),
    };
    // A key for this tour alone; your own comes from `openssl rand -base64 32`.
    let key = env::var("DUCTAPE_STORE_KEY");
    let key = key.unwrap_or_else(|_| "dGhlIGtleSBvZiB0aGUgdG91ciwgbm90IG9mIHlvdSE=".to_owned());
    Ok(Store::open(&url, StoreKeys::parse(&key)?).await?)
}
