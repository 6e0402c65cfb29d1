//! The derives that an event and its parts need, added where they are missing.

use quote::format_ident;
use syn::{Attribute, Path, parse_quote};

use crate::private::Private;
use crate::topic::serde::Serde;

/// Adds the derives of the traits `missing`, and says for all that are derived (`has`) where their crates are.
pub(crate) fn add_missing(
    attributes: &mut Vec<Attribute>,
    missing: &[&str],
    has: impl Fn(&str) -> bool,
    private: &Private,
) {
    let paths: Vec<Path> = missing
        .iter()
        .map(|name| {
            let ident = format_ident!("{name}");
            match *name {
                "JsonSchema" => parse_quote!(#private::schemars::#ident),
                _ => parse_quote!(#private::serde::#ident),
            }
        })
        .collect();
    if !paths.is_empty() {
        // Before all others: a derive must stand above the attributes that belong to it.
        attributes.insert(0, parse_quote!(#[derive(#(#paths),*)]));
    }
    if (has("Serialize") || has("Deserialize")) && !Serde::read(attributes, "serde").has_crate {
        let path = private.text("serde");
        attributes.push(parse_quote!(#[serde(crate = #path)]));
    }
    if has("JsonSchema") && !Serde::read(attributes, "schemars").has_crate {
        let path = private.text("schemars");
        attributes.push(parse_quote!(#[schemars(crate = #path)]));
    }
}
