//! What a program consumes and produces, as one `AsyncAPI` 3.0 document, for people and tools in other languages.
//!
//! <https://www.asyncapi.com/docs/reference/specification/v3.0.0>. The document is made from what the program is, so that it can't be
//! out of date: [`Ductape::asyncapi`](crate::Ductape::asyncapi).

mod document;
mod draft_07;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use document::{Channel, Group, Info, document};
pub(crate) use server::Server;
