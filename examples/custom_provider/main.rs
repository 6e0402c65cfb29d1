//! A program on the journal: `cargo run --example custom-provider`.
//!
//! Everything that it publishes stands in `.ductape/journal/notes.note-written.jsonl`, to be read with any editor.
#![allow(clippy::print_stdout)] // it talks to a person

use std::sync::Arc;
use std::time::Duration;

use custom_provider::Journal;
use ductape_events::prelude::*;

/// Emitted when somebody writes a note.
#[topic("notes:note-written", key = author)]
struct NoteWritten {
    author: String,
    text: String,
}

#[consumer(group = "printer", retry(attempts = 3, base = "50ms"))]
async fn print(note: NoteWritten, attempt: Attempt) -> Result<(), std::io::Error> {
    if note.text.is_empty() && attempt < Attempt(2) {
        return Err(std::io::Error::other("the printer is out of paper"));
    }
    println!("{}: {:?} ({attempt:?})", note.author, note.text);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let journal = Journal::open(".ductape/journal").await?;
    let ductape = Ductape::builder()
        .without_config()
        .broker("notes", Arc::new(journal))
        .build()
        .await?;
    ductape.start().await?;
    for (author, text) in [("ada", "first"), ("grace", "second"), ("ada", "")] {
        let (author, text) = (author.to_owned(), text.to_owned());
        NoteWritten { author, text }.produce(&ductape).await?;
    }
    while !ductape.wait_idle(Duration::from_secs(1)).await? {}
    ductape.shutdown().await?;
    Ok(())
}
