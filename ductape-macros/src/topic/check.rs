//! The rules of a topic that concern more than one token at a time.

use syn::spanned::Spanned as _;
use syn::{GenericParam, Member, Type};

use super::model::{TopicModel, member_ident};
use super::parse::{FieldInput, Kind, Shape};
use super::serde::Serde;
use crate::ctxt::Ctxt;
use crate::private::{type_text, unraw};
use crate::sensitive;
use crate::suggest::{did_you_mean, listed};

/// Reports every rule that `model` breaks.
pub(crate) fn topic(cx: &Ctxt, model: &TopicModel<'_>) {
    repeated(cx, model);
    shape(cx, model);
    generics(cx, model);
    key(cx, model);
    sensitive_fields(cx, model);
}

fn repeated(cx: &Ctxt, model: &TopicModel<'_>) {
    for attribute in &model.input.repeated {
        if attribute
            .path()
            .segments
            .last()
            .is_some_and(|last| last.ident == "topic")
        {
            cx.error(
                attribute,
                "a type is one topic; write a second type, or leave this `#[topic]` out",
            );
        } else {
            cx.error(
                attribute,
                "`#[consumer]` goes above an async fn that takes this topic, not above its type",
            );
        }
    }
}

fn shape(cx: &Ctxt, model: &TopicModel<'_>) {
    match &model.input.shape {
        Shape::Struct(fields, Kind::Tuple) if fields.len() != 1 => {
            let message = format!(
                "a struct of {} nameless fields is a bare array on the wire, which cannot grow; name the fields: \
                 `struct {} {{ … }}`",
                fields.len(),
                model.input.ident
            );
            cx.error(&model.input.ident, message);
        }
        Shape::Enum(variants) if variants.is_empty() => {
            cx.error(
                &model.input.ident,
                "an enum without variants has no value that could be produced; add one",
            );
        }
        _ => {}
    }
}

fn generics(cx: &Ctxt, model: &TopicModel<'_>) {
    let name = &model.input.ident;
    let params = &model.input.generics.params;
    let mut is_generic = false;
    for param in params {
        match param {
            GenericParam::Lifetime(param) => {
                let message = format!(
                    "a topic owns its data, so the lifetime `{}` cannot stay; use owned types, as `String` for `&str`",
                    param.lifetime
                );
                cx.error(&param.lifetime, message);
            }
            GenericParam::Type(_) | GenericParam::Const(_) => is_generic = true,
        }
    }
    let Some((span, instances)) = &model.instances else {
        if is_generic {
            let message = format!(
                "`{name}` is generic; say which of its types are events: add `instances({name}<…>)` to the #[topic]"
            );
            cx.error(params, message);
        }
        return;
    };
    if params.is_empty() {
        cx.error_at(
            *span,
            format!("`{name}` is not generic and has no instances; leave `instances(…)` out"),
        );
        return;
    }
    if instances.is_empty() {
        cx.error_at(
            *span,
            format!("`instances()` names none; write for example `instances({name}<…>)`"),
        );
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    let mut unnamed = 0;
    for instance in instances {
        let text = type_text(&instance.ty);
        if !is_of(&instance.ty, &unraw(name)) {
            cx.error(
                &instance.ty,
                format!("`{text}` is no instance of `{name}`; write `{name}<…>`"),
            );
        }
        let event = instance
            .event
            .as_ref()
            .map_or_else(|| model.event.clone(), syn::LitStr::value);
        if instance.event.is_none() {
            unnamed += 1;
            if unnamed > 1 {
                let message = format!(
                    "only one instance takes the name of the attribute; give this one its own: `{text} = \"…:…\"`"
                );
                cx.error(&instance.ty, message);
                continue;
            }
        }
        if seen.iter().any(|(ty, _)| *ty == text) {
            cx.error(
                &instance.ty,
                format!("`{text}` is named twice; leave one of them out"),
            );
        } else if let Some((other, _)) = seen.iter().find(|(_, other)| *other == event) {
            let message =
                format!("event `{event}` is that of `{other}` already; give each instance its own name");
            cx.error_at(
                instance
                    .event
                    .as_ref()
                    .map_or(instance.ty.span(), syn::LitStr::span),
                message,
            );
        }
        seen.push((text, event));
    }
}

/// Whether `ty` is a path whose last segment is `name`, with arguments.
fn is_of(ty: &Type, name: &str) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|last| unraw(&last.ident) == name && !last.arguments.is_none())
}

fn key(cx: &Ctxt, model: &TopicModel<'_>) {
    for (at, member) in model.key.iter().enumerate() {
        if model.key[..at].contains(member) {
            cx.error(member, "the key names this field twice; leave one of them out");
            continue;
        }
        match &model.input.shape {
            Shape::Struct(fields, kind) => key_of_struct(cx, model, member, fields, *kind),
            Shape::Enum(variants) => {
                let Some(ident) = member_ident(member) else {
                    cx.error(
                        member,
                        "the key of an enum is a named field that all variants have",
                    );
                    continue;
                };
                let has = |fields: &[FieldInput]| {
                    fields
                        .iter()
                        .any(|input| input.field.ident.as_ref() == Some(ident))
                };
                let missing = variants.iter().filter(|variant| !has(&variant.fields));
                let missing: Vec<String> = missing.map(|variant| variant.ident.to_string()).collect();
                if !missing.is_empty() {
                    let (missing, one) = (listed(missing.iter().map(String::as_str)), missing.len() == 1);
                    let has = if one { "variant" } else { "variants" };
                    let have = if one { "has" } else { "have" };
                    let message = format!(
                        "every variant needs the key, but {has} {missing} {have} no field `{ident}`; add it, or leave \
                         `key` out"
                    );
                    cx.error(ident, message);
                }
                for variant in variants {
                    skipped(cx, ident, &variant.fields);
                }
            }
        }
    }
}

fn key_of_struct(cx: &Ctxt, model: &TopicModel<'_>, member: &Member, fields: &[FieldInput], kind: Kind) {
    let name = &model.input.ident;
    match (member, kind) {
        (Member::Unnamed(index), Kind::Tuple) if (index.index as usize) < fields.len() => {}
        (_, Kind::Unit) => cx.error(
            member,
            format!("`{name}` has no fields, so it has no key; leave `key` out"),
        ),
        (_, Kind::Tuple) => cx.error(
            member,
            format!("the only field of `{name}` is `0`; write `key = 0`"),
        ),
        (Member::Unnamed(_), Kind::Named) => {
            cx.error(
                member,
                "the fields have names; write for example `key = order_id`",
            );
        }
        (Member::Named(ident), Kind::Named) => {
            let names: Vec<String> = fields
                .iter()
                .filter_map(|input| input.field.ident.as_ref())
                .map(unraw)
                .collect();
            let names = || names.iter().map(String::as_str);
            if names().any(|name| name == unraw(ident)) {
                skipped(cx, ident, fields);
                return;
            }
            let meant = did_you_mean(&unraw(ident), names());
            let meant = meant.map_or(String::new(), |meant| format!(" did you mean `{meant}`?"));
            let known = listed(names());
            cx.error(
                ident,
                format!("`{name}` has no field `{ident}`;{meant} its fields: {known}"),
            );
        }
    }
}

fn skipped(cx: &Ctxt, ident: &syn::Ident, fields: &[FieldInput]) {
    let field = fields
        .iter()
        .find(|input| input.field.ident.as_ref() == Some(ident));
    if field.is_some_and(|input| Serde::read(&input.field.attrs, "serde").skip) {
        let message =
            format!("`{ident}` cannot be the key: serde skips it, so that consumers would not see it");
        cx.error(ident, message);
    }
}

fn sensitive_fields(cx: &Ctxt, model: &TopicModel<'_>) {
    let all: Vec<&FieldInput> = match &model.input.shape {
        Shape::Struct(fields, _) => fields.iter().collect(),
        Shape::Enum(variants) => variants.iter().flat_map(|variant| &variant.fields).collect(),
    };
    for input in all {
        let Some(attribute) = input.sensitive.first() else {
            continue;
        };
        sensitive::check(cx, attribute, &input.field);
        if let Some(twice) = input.sensitive.get(1) {
            cx.error(twice, "the field is marked already; leave one of them out");
        }
        let is_key = |member: &Member| {
            member_ident(member).is_some_and(|ident| input.field.ident.as_ref() == Some(ident))
        };
        if model.key.iter().any(is_key) {
            cx.error(
                attribute,
                "the field is the key, which brokers and the store keep in the open; take another key, or leave \
                 `#[sensitive]` out",
            );
        }
    }
}
