//! `#[payload]`: a type that stands in events, with the derives that it needs.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Item;

use crate::attr::{Args, Options};
use crate::ctxt::Ctxt;
use crate::derives::add_missing;
use crate::private::Private;
use crate::sensitive::mark_all;
use crate::topic::model::{Derives, derived, last_is};

/// What `#[payload(attribute)] item` becomes.
pub(crate) fn payload(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    let mut parsed = match syn::parse2::<Item>(item.clone()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let cx = Ctxt::new();
    let args = Args::read(attribute);
    for value in &args.positional {
        cx.error(value, "#[payload] takes no value; write `#[payload]`");
    }
    let options = Options::new(&cx, "#[payload]", &args.named, &["crate"], &[]);
    let private = Private::new(&cx, options.arg("crate"));
    mark_all(&cx, &mut parsed);
    let attributes = match &mut parsed {
        Item::Struct(item) => Some(&mut item.attrs),
        Item::Enum(item) => Some(&mut item.attrs),
        _ => None,
    };
    if let Some(attributes) = attributes {
        let paths = derived(attributes);
        let missing: Vec<&str> = Derives::TRAITS
            .into_iter()
            .filter(|name| !paths.iter().any(|path| last_is(path, name)))
            .collect();
        add_missing(attributes, &missing, |_| true, &private);
    } else {
        cx.error(
            &parsed,
            "#[payload] stands on a struct or an enum that is a part of events",
        );
    }
    // Also beside an error the derives stay, so that uses of the type are not reported as well.
    let error = cx.check().err().map(syn::Error::into_compile_error);
    quote!(#parsed #error)
}
