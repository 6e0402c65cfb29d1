//! `#[topic]`.
//!
//! `parse` splits tokens, `model` says what they mean, `check` looks at more than one of them at a time, `expand`
//! writes the implementation, `fallback` one that only keeps other errors away. `serde` knows the wire names, `contract` what is committed.

use proc_macro2::TokenStream;
use quote::quote;

use crate::ctxt::Ctxt;

mod check;
mod contract;
mod expand;
mod fallback;
pub(crate) mod model;
pub(crate) mod parse;
mod sample;
pub(crate) mod serde;

use model::TopicModel;
use parse::TopicInput;

/// What `#[topic(attribute)] item` becomes.
pub(crate) fn topic(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let input = match TopicInput::parse(attribute, item.clone()) {
        Ok(input) => input,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let cx = Ctxt::new();
    let model = TopicModel::build(&cx, &input);
    check::topic(&cx, &model);
    contract::check(&cx, &model);
    match cx.check() {
        Ok(()) => expand::topic(&model),
        Err(error) => fallback::topic(&model, &error),
    }
}
