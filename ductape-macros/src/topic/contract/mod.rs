//! Holds a topic to its committed contract, as far as tokens tell: the test that `expand` writes compares the rest.
//!
//! `types` makes schemas of the types that are known by their names, `fields` and `variants` compare.

use std::env;
use std::fs;
use std::path::PathBuf;

use ductape_schema::compatibility::{Mode, Side};
use ductape_schema::{Contract, EventName};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use serde_json::Value;
use syn::{LitStr, Type};

use super::model::TopicModel;
use super::parse::{Kind, Shape};
use super::serde::Serde;
use crate::ctxt::Ctxt;

mod fields;
mod types;
mod variants;

use fields::Fields;

/// A contract, and who is told of what breaks it.
struct Kept<'k> {
    cx: &'k Ctxt,
    /// Where it stands, as people write it.
    file: &'k str,
    contract: &'k Contract,
}

/// Reports what breaks the contracts of the topic. While they are written anew, nothing does.
pub(crate) fn check(cx: &Ctxt, model: &TopicModel<'_>) {
    let accepts = env::var_os("DUCTAPE_CONTRACTS").is_some_and(|value| value == "accept");
    if accepts || !model.derives.has("JsonSchema") {
        return;
    }
    for (event, span) in model.events() {
        let Ok(name) = event.parse::<EventName>() else {
            continue;
        };
        let Some((file, path)) = place(&name, model.version) else {
            continue;
        };
        let read = fs::read_to_string(&path);
        let read = read.map_err(|error| format!("it can't be read: {error}"));
        let read = read
            .and_then(|text| Contract::read(&text, &name, model.version).map_err(|error| error.to_string()));
        match read {
            Ok(contract) if contract.compatibility == Mode::None => {}
            Ok(contract) => {
                let file = &file;
                let contract = &contract;
                topic(&Kept { cx, file, contract }, model);
            }
            Err(error) => cx.error_at(span, format!("the contract `{file}` can't be used: {error}")),
        }
    }
}

/// Makes the compiler look again when a contract changes.
pub(crate) fn tracked(event: &str, version: u32) -> TokenStream {
    let found = event
        .parse::<EventName>()
        .ok()
        .and_then(|event| place(&event, version));
    let Some((file, _)) = found else {
        return TokenStream::new();
    };
    let file = LitStr::new(&format!("/{file}"), Span::call_site());
    quote! {
        const _: &[::core::primitive::u8] =
            ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #file));
    }
}

/// Where the contract stands, if there is one: from the crate's folder, and whole.
fn place(event: &EventName, version: u32) -> Option<(String, PathBuf)> {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let within = Contract::path(event, version);
    let path = folder.join(&within);
    path.is_file()
        .then(|| (within.to_string_lossy().replace('\\', "/"), path))
}

fn topic(kept: &Kept<'_>, model: &TopicModel<'_>) {
    let serde = &model.serde;
    // What these make of the type can't be seen.
    if serde.changed || types::is_described_by_hand(&model.input.attributes) {
        return;
    }
    let schema = kept.resolved(&kept.contract.schema);
    let name = &model.input.ident;
    match &model.input.shape {
        Shape::Struct(fields, Kind::Named) => Fields {
            kept,
            schema,
            case: serde.rename_all,
            has_defaults: serde.default,
            refuses_others: serde.deny_unknown_fields,
            tag: serde.tag.as_deref(),
            owner: name,
        }
        .check(fields),
        Shape::Struct(fields, Kind::Tuple) => {
            if let [only] = fields.as_slice()
                && !Serde::read(&only.field.attrs, "serde").changed
                && !types::is_described_by_hand(&only.field.attrs)
            {
                kept.compare(schema, &only.field.ty, &format!("the value of `{name}`"));
            }
        }
        Shape::Struct(_, Kind::Unit) => {}
        Shape::Enum(list) => variants::check(kept, schema, list, serde, name),
    }
}

impl Kept<'_> {
    /// Whether this side is to be kept from breaking.
    fn holds(&self, side: Side) -> bool {
        matches!(
            (self.contract.compatibility, side),
            (Mode::Full, _) | (Mode::Backward, Side::NewConsumers) | (Mode::Forward, Side::OldConsumers)
        )
    }

    /// The schema that a reference refers to.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        // References to references are not written by what writes contracts.
        for _ in 0..8 {
            let Some(name) = schema.get("$ref").and_then(Value::as_str) else {
                break;
            };
            let target = name
                .strip_prefix('#')
                .and_then(|pointer| self.contract.schema.pointer(pointer));
            let Some(target) = target.filter(|_| schema.get("properties").is_none()) else {
                break;
            };
            schema = target;
        }
        schema
    }

    /// Reports that `what` breaks the contract, for which reason, and how to go on: `instead`, or as always.
    fn report(&self, at: &dyn quote::ToTokens, what: &str, why: &str, instead: &str) {
        let next = self.contract.version.saturating_add(1);
        self.cx.error(
            at,
            format!(
                "{what} breaks the contract `{}`: {why}; {instead}write `version = {next}` in the #[topic] for a version beside this \
                 one, or accept the change with `DUCTAPE_CONTRACTS=accept cargo test`",
                self.file
            ),
        );
    }

    /// Reports where a type can't follow the schema that the contract has for it.
    fn compare(&self, schema: &Value, ty: &Type, what: &str) {
        if let Some(why) = types::breaks(self.contract, schema, ty) {
            self.report(ty, what, &why, "keep its type, ");
        }
    }
}
