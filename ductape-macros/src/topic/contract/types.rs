//! What is known of a type by its name, as `schemars` describes it.

use ductape_schema::Contract;
use ductape_schema::compatibility::{Mode, check};
use serde_json::{Value, json};
use syn::{Attribute, GenericArgument, Path, PathArguments, Type};

use crate::topic::serde::Serde;

/// Why `ty` can't follow `schema`; `None` where it can, or where that can't be seen.
pub(super) fn breaks(contract: &Contract, schema: &Value, ty: &Type) -> Option<String> {
    // Wrapped as they are, references to the whole would lead elsewhere.
    if refers_to_root(schema) {
        return None;
    }
    let old = json!({ "allOf": [schema], "$defs": contract.schema.get("$defs").cloned().unwrap_or_else(|| json!({})) });
    let modes: &[Mode] = match contract.compatibility {
        Mode::Full => &[Mode::Backward, Mode::Forward],
        Mode::Backward => &[Mode::Backward],
        Mode::Forward => &[Mode::Forward],
        Mode::None => &[],
    };
    modes.iter().find_map(|mode| {
        // What is not known takes everything where it reads, and has nothing where it writes: it never breaks.
        let unknown = json!(*mode == Mode::Backward);
        let new = describe(ty, &unknown)?;
        let found = check(&old, &new, *mode).into_iter().next()?;
        let inside = found.path.trim_start_matches('$');
        let place = if inside.is_empty() {
            String::new()
        } else {
            format!(" (at `${inside}`)")
        };
        Some(format!("{}{place}", found.reason))
    })
}

fn refers_to_root(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| (name == "$ref" && value == "#") || refers_to_root(value)),
        Value::Array(items) => items.iter().any(refers_to_root),
        _ => false,
    }
}

/// Whether attributes of `schemars` change what is described, or may.
pub(super) fn is_described_by_hand(attributes: &[Attribute]) -> bool {
    let by_schemars = Serde::read(attributes, "schemars");
    let says_more = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("schemars"))
        .count();
    says_more > usize::from(by_schemars.has_crate)
        || attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("validate"))
}

/// Whether a field of this type may be absent.
pub(super) fn is_option(ty: &Type) -> bool {
    match named(ty) {
        Some(("Option", _)) => true,
        Some(("Box" | "Arc" | "Rc", inner)) => inner.first().is_some_and(|inner| is_option(inner)),
        _ => false,
    }
}

/// The schema of `ty`, with `unknown` in place of what is not known; `None` where that is all of it.
fn describe(ty: &Type, unknown: &Value) -> Option<Value> {
    if let Type::Tuple(tuple) = ty
        && tuple.elems.is_empty()
    {
        return Some(json!({ "type": "null" }));
    }
    let (name, inner) = named(ty)?;
    let of = |at: usize| {
        let inner = inner.get(at).and_then(|inner| describe(inner, unknown));
        inner.unwrap_or_else(|| unknown.clone())
    };
    let integer = |format: &str| json!({ "type": "integer", "format": format });
    Some(match (name, inner.len()) {
        ("bool", 0) => json!({ "type": "boolean" }),
        ("String", 0) => json!({ "type": "string" }),
        ("char", 0) => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        ("f32", 0) => json!({ "type": "number", "format": "float" }),
        ("f64", 0) => json!({ "type": "number", "format": "double" }),
        ("i8", 0) => json!({ "type": "integer", "format": "int8", "minimum": i8::MIN, "maximum": i8::MAX }),
        ("i16", 0) => {
            json!({ "type": "integer", "format": "int16", "minimum": i16::MIN, "maximum": i16::MAX })
        }
        ("i32", 0) => integer("int32"),
        ("i64", 0) => integer("int64"),
        ("isize", 0) => integer("int"),
        ("u8", 0) => json!({ "type": "integer", "format": "uint8", "minimum": 0, "maximum": u8::MAX }),
        ("u16", 0) => json!({ "type": "integer", "format": "uint16", "minimum": 0, "maximum": u16::MAX }),
        ("u32", 0) => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
        ("u64", 0) => json!({ "type": "integer", "format": "uint64", "minimum": 0 }),
        ("usize", 0) => json!({ "type": "integer", "format": "uint", "minimum": 0 }),
        ("Option", 1) => json!({ "anyOf": [of(0), { "type": "null" }] }),
        ("Vec", 1) => json!({ "type": "array", "items": of(0) }),
        ("HashMap" | "BTreeMap", 2) if named(inner[0]).is_some_and(|(name, _)| name == "String") => {
            json!({ "type": "object", "additionalProperties": of(1) })
        }
        ("Box" | "Arc" | "Rc", 1) => describe(inner[0], unknown)?,
        _ => return None,
    })
}

/// The name of a type that is written by its name alone or by its path in the standard library, and its arguments.
fn named(ty: &Type) -> Option<(&'static str, Vec<&Type>)> {
    const KNOWN: &[&str] = &[
        "bool", "String", "char", "f32", "f64", "i8", "i16", "i32", "i64", "isize", "u8", "u16", "u32",
        "u64", "usize", "Option", "Vec", "HashMap", "BTreeMap", "Box", "Arc", "Rc",
    ];
    let path = match ty {
        Type::Path(path) if path.qself.is_none() => &path.path,
        Type::Paren(inner) => return named(&inner.elem),
        Type::Group(inner) => return named(&inner.elem),
        _ => return None,
    };
    if path.segments.len() > 1 && !is_of_std(path) {
        return None;
    }
    let last = path.segments.last()?;
    let name = KNOWN.iter().copied().find(|name| last.ident == name)?;
    let arguments = match &last.arguments {
        PathArguments::None => Vec::new(),
        PathArguments::AngleBracketed(given) => given
            .args
            .iter()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        PathArguments::Parenthesized(_) => return None,
    };
    Some((name, arguments))
}

fn is_of_std(path: &Path) -> bool {
    path.segments
        .first()
        .is_some_and(|first| ["std", "core", "alloc"].iter().any(|name| first.ident == name))
}
