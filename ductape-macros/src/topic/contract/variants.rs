//! The variants of an enum against those of its contract.

use ductape_schema::compatibility::Side;
use proc_macro2::Ident;
use serde_json::Value;

use super::fields::Fields;
use super::{Kept, types};
use crate::topic::parse::{Kind, VariantInput};
use crate::topic::serde::{Serde, variant_name};

/// A variant as the contract has it: its name, and what its fields stand in.
struct Known<'s> {
    name: &'s str,
    fields: Option<&'s Value>,
}

/// Reports what breaks the contract.
pub(super) fn check(kept: &Kept<'_>, schema: &Value, variants: &[VariantInput], serde: &Serde, name: &Ident) {
    if serde.untagged {
        return;
    }
    let Some(known) = known(kept, schema, serde.tag.as_deref(), serde.content.as_deref()) else {
        return;
    };
    let mut there = Vec::new();
    for variant in variants {
        let own = Serde::read(&variant.attributes, "serde");
        let conditional = variant
            .attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg"));
        // What these read can't be seen.
        if own.changed || own.untagged || conditional || types::is_described_by_hand(&variant.attributes) {
            return;
        }
        if !own.absent {
            there.push((variant_name(&variant.ident, &own, serde.rename_all), variant, own));
        }
    }
    for (wire, variant, own) in &there {
        let Some(known) = known.iter().find(|known| known.name == wire) else {
            if kept.holds(Side::OldConsumers) {
                let why = "old consumers don't know it";
                kept.report(
                    &variant.ident,
                    &format!("variant `{wire}`, which is new,"),
                    why,
                    "",
                );
            }
            continue;
        };
        if let Some(schema) = known.fields.filter(|_| variant.kind == Kind::Named) {
            let fields = Fields {
                kept,
                schema: kept.resolved(schema),
                case: own.rename_all.or(serde.rename_all_fields),
                has_defaults: false,
                refuses_others: serde.deny_unknown_fields,
                tag: serde.tag.as_deref().filter(|_| serde.content.is_none()),
                owner: &variant.ident,
            };
            fields.check(&variant.fields);
        }
    }
    for known in known
        .iter()
        .filter(|known| !there.iter().any(|(wire, ..)| wire == known.name))
    {
        if kept.holds(Side::NewConsumers) {
            let why = "old messages may have it, and new consumers don't know it";
            let what = format!("variant `{}`, which is gone,", known.name);
            kept.report(name, &what, why, "keep it, ");
        }
    }
}

/// The variants that the contract has; `None` where it has none of this kind.
fn known<'s>(
    kept: &'s Kept<'_>,
    schema: &'s Value,
    tag: Option<&str>,
    content: Option<&str>,
) -> Option<Vec<Known<'s>>> {
    let texts = |schema: &'s Value| -> Option<Vec<Known<'s>>> {
        let values = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => values.iter().collect(),
            (_, Some(value)) => vec![value],
            _ => return None,
        };
        let known = |value: &'s Value| {
            Some(Known {
                name: value.as_str()?,
                fields: None,
            })
        };
        values.into_iter().map(known).collect()
    };
    let Some(ways) = schema.get("oneOf").and_then(Value::as_array) else {
        return texts(schema).filter(|_| tag.is_none());
    };
    let mut all = Vec::new();
    for way in ways {
        let way = kept.resolved(way);
        if let Some(mut found) = texts(way).filter(|_| tag.is_none()) {
            all.append(&mut found);
            continue;
        }
        let properties = way.get("properties")?.as_object()?;
        if let Some(tag) = tag {
            let name = properties.get(tag)?.get("const")?.as_str()?;
            let fields = content.map_or(Some(way), |content| properties.get(content));
            all.push(Known { name, fields });
        } else {
            let name = way.get("required")?.get(0)?.as_str()?;
            let fields = properties.get(name);
            all.push(Known { name, fields });
        }
    }
    Some(all)
}
