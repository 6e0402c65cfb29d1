//! The entry points of `#[topic]` and `#[consumer]`. Their documentation for users stands in `ductape-events`, beside
//! the re-export, where its examples are compiled.
//!
//! Each macro is a plain function over `proc_macro2` in five steps: `parse` knows tokens, `model` knows meaning,
//! `check` knows rules, `expand` knows Rust, and `fallback` keeps an item in error from causing further errors.
//! Everything that is wrong with one item is reported in one compile.

use proc_macro::TokenStream;

mod attr;
mod consumer;
mod ctxt;
mod derives;
mod duration;
mod manifest;
mod payload;
mod private;
mod sensitive;
mod suggest;
mod topic;

/// Makes a type a topic.
#[proc_macro_attribute]
pub fn topic(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(topic::topic(attribute.into(), &item.into()))
}

/// Makes a type a part of events.
#[proc_macro_attribute]
pub fn payload(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(payload::payload(attribute.into(), &item.into()))
}

/// Makes an async function a consumer.
#[proc_macro_attribute]
pub fn consumer(attribute: TokenStream, item: TokenStream) -> TokenStream {
    shown(consumer::consumer(attribute.into(), &item.into()))
}

/// Prints what a macro made when `DUCTAPE_MACROS_DEBUG` is `1`.
#[allow(clippy::print_stderr)] // that is what the variable asks for
fn shown(tokens: proc_macro2::TokenStream) -> TokenStream {
    if std::env::var_os("DUCTAPE_MACROS_DEBUG").is_some_and(|value| value == "1") {
        eprintln!("{tokens}");
    }
    tokens.into()
}
