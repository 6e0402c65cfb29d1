//! `#[sensitive]` on a field: the schema says so, by which whoever writes events down leaves its value out.

use quote::ToTokens as _;
use syn::{Attribute, Field, Fields, Item, Meta, parse_quote};

use crate::ctxt::Ctxt;
use crate::topic::parse::take;
use crate::topic::serde::Serde;

/// Turns `#[sensitive]` on the fields of `item` into a mark in its schema.
pub(crate) fn mark_all(cx: &Ctxt, item: &mut Item) {
    match item {
        Item::Struct(item) => mark_fields(cx, &mut item.fields),
        Item::Enum(item) => {
            for variant in &mut item.variants {
                mark_fields(cx, &mut variant.fields);
            }
        }
        _ => {}
    }
}

fn mark_fields(cx: &Ctxt, fields: &mut Fields) {
    for field in fields {
        for attribute in mark(field) {
            check(cx, &attribute, field);
        }
    }
}

/// Takes `#[sensitive]` off a field and marks its schema; answers what was taken.
pub(crate) fn mark(field: &mut Field) -> Vec<Attribute> {
    let taken = take(&mut field.attrs, &["sensitive"]);
    if !taken.is_empty() {
        field
            .attrs
            .push(parse_quote!(#[schemars(extend("x-sensitive" = true))]));
    }
    taken
}

/// Reports what an attribute `#[sensitive]` on `field` may not be.
pub(crate) fn check(cx: &Ctxt, attribute: &Attribute, field: &Field) {
    if !matches!(attribute.meta, Meta::Path(_)) {
        cx.error(
            attribute.meta.to_token_stream(),
            "`#[sensitive]` takes nothing; the field's whole value is left out of what is written down",
        );
    }
    if Serde::read(&field.attrs, "serde").flatten {
        cx.error(
            attribute,
            "a flattened field has no name on the wire; write `#[sensitive]` above the fields of its type",
        );
    }
}
