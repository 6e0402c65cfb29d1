//! `#[consumer]`.
//!
//! `parse` splits tokens, `model` says what they mean, `check` looks at more than one of them at a time, `expand`
//! writes the registration, `fallback` one that only keeps other errors away.

use proc_macro2::TokenStream;
use quote::quote;

use crate::ctxt::Ctxt;

mod call;
mod check;
mod expand;
mod fallback;
mod model;
mod parse;

use model::ConsumerModel;
use parse::ConsumerInput;

/// What `#[consumer(attribute)] item` becomes.
pub(crate) fn consumer(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let input = match ConsumerInput::parse(attribute, item.clone()) {
        Ok(input) => input,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let cx = Ctxt::new();
    let model = ConsumerModel::build(&cx, &input);
    check::consumer(&cx, &model);
    match cx.check() {
        Ok(()) => expand::consumer(&model),
        Err(error) => fallback::consumer(&model, &error),
    }
}
