//! The fields of a struct or a variant against those of its contract.

use ductape_schema::compatibility::Side;
use proc_macro2::Ident;
use serde_json::Value;

use super::{Kept, types};
use crate::private::unraw;
use crate::topic::parse::FieldInput;
use crate::topic::serde::{Case, Serde, field_name};

/// Named fields that stand together, and what holds for all of them.
pub(super) struct Fields<'f> {
    pub(super) kept: &'f Kept<'f>,
    /// What the contract has for their object.
    pub(super) schema: &'f Value,
    pub(super) case: Option<Case>,
    pub(super) has_defaults: bool,
    pub(super) refuses_others: bool,
    pub(super) tag: Option<&'f str>,
    /// The struct or the variant: where what is gone is reported.
    pub(super) owner: &'f Ident,
}

/// A field as it is on the wire.
struct Wire<'f> {
    input: &'f FieldInput,
    ident: &'f Ident,
    name: String,
    own: Serde,
    /// Whether its type is described by more than its name, or it exists under a condition.
    is_unclear: bool,
}

impl Wire<'_> {
    /// As people know it, on either side.
    fn shown(&self) -> String {
        let ident = unraw(self.ident);
        if ident == self.name {
            return format!("`{ident}`");
        }
        format!("`{ident}`, which is `{}` on the wire,", self.name)
    }
}

impl Fields<'_> {
    pub(super) fn check(&self, inputs: &[FieldInput]) {
        let Some(known) = self.schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        let required = self.schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|other| other == name));
        // Some of the fields may stand in parts that are flattened.
        let elsewhere = [
            "additionalProperties",
            "patternProperties",
            "allOf",
            "anyOf",
            "oneOf",
            "$ref",
        ];
        let lists_all = !elsewhere.iter().any(|keyword| {
            self.schema
                .get(keyword)
                .is_some_and(|part| *part != Value::Bool(false))
        });
        let all: Option<Vec<Wire<'_>>> = inputs.iter().map(|input| self.wire(input)).collect();
        let Some(all) = all else { return };
        let has_flattened = all.iter().any(|field| field.own.flatten);
        let fields: Vec<&Wire<'_>> = all
            .iter()
            .filter(|field| !field.own.flatten && !field.own.absent)
            .collect();
        let gone: Vec<&str> = known
            .keys()
            .map(String::as_str)
            .filter(|name| Some(*name) != self.tag && !fields.iter().any(|field| field.name == *name))
            .collect();
        for field in &fields {
            match known.get(&field.name) {
                Some(schema) => self.kept_field(field, schema, is_required(&field.name)),
                None if lists_all => self.new_field(field, &gone),
                None => {}
            }
        }
        if has_flattened || !lists_all {
            return;
        }
        for name in gone {
            let kept = self.kept;
            let what = format!("field `{name}`, which is gone,");
            if is_required(name) && kept.holds(Side::OldConsumers) {
                let why = "old consumers require it, and new messages don't have it";
                kept.report(self.owner, &what, why, "keep it, ");
            } else if self.refuses_others && kept.holds(Side::NewConsumers) {
                let why = "old messages have it, and new consumers refuse fields that they don't know";
                kept.report(self.owner, &what, why, "keep it, ");
            }
        }
    }

    /// `None` where what a field is on the wire can't be seen.
    fn wire<'f>(&self, input: &'f FieldInput) -> Option<Wire<'f>> {
        let ident = input.field.ident.as_ref()?;
        let own = Serde::read(&input.field.attrs, "serde");
        let by_schemars = Serde::read(&input.field.attrs, "schemars");
        if by_schemars.rename.is_some() || by_schemars.absent || by_schemars.flatten || by_schemars.changed {
            return None;
        }
        let conditional = input.field.attrs.iter().any(|attribute| {
            ["cfg", "cfg_attr"]
                .iter()
                .any(|name| attribute.path().is_ident(name))
        });
        Some(Wire {
            input,
            ident,
            name: field_name(ident, &own, self.case),
            is_unclear: own.changed || conditional || types::is_described_by_hand(&input.field.attrs),
            own,
        })
    }

    /// A field that the contract has.
    fn kept_field(&self, field: &Wire<'_>, schema: &Value, was_required: bool) {
        let kept = self.kept;
        if field.is_unclear {
            return;
        }
        let what = field.shown();
        let is_required = self.is_required(field);
        if is_required && !was_required && kept.holds(Side::NewConsumers) {
            let why = "it is required now, and old messages may lack it";
            kept.report(
                field.ident,
                &what,
                why,
                "write `#[serde(default)]` above it or make it an `Option`, ",
            );
            return;
        }
        if !is_required && was_required && kept.holds(Side::OldConsumers) {
            let why = "old consumers require it, and new messages may lack it now";
            kept.report(field.ident, &what, why, "keep it required, ");
            return;
        }
        kept.compare(schema, &field.input.field.ty, &what);
    }

    /// A field that the contract does not have.
    fn new_field(&self, field: &Wire<'_>, gone: &[&str]) {
        let kept = self.kept;
        if field.is_unclear || !self.is_required(field) || !kept.holds(Side::NewConsumers) {
            return;
        }
        let what = field.shown();
        let why = "new consumers require it, and old messages don't have it";
        let rename = match gone {
            [only] => format!("if it was `{only}`, write `#[serde(rename = \"{only}\")]` above it; else "),
            _ => String::new(),
        };
        let instead = format!("{rename}write `#[serde(default)]` above it or make it an `Option`, ");
        kept.report(field.ident, &what, why, &instead);
    }

    fn is_required(&self, field: &Wire<'_>) -> bool {
        !self.has_defaults && !field.own.default && !types::is_option(&field.input.field.ty)
    }
}
