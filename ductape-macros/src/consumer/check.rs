//! The rules of a consumer that concern more than one token at a time.

use std::time::Duration;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{FnArg, GenericParam, PatType, Safety, Type};

use ductape_schema::GroupName;

use super::model::{ConsumerModel, dereferenced};
use crate::ctxt::Ctxt;
use crate::private::type_text;

/// What the runtime takes where `base` is left out.
const BASE_DEFAULT: Duration = Duration::from_secs(1);
/// What the runtime takes where `max` is left out.
const MAX_DEFAULT: Duration = Duration::from_mins(5);

/// Reports every rule that `model` breaks.
pub(crate) fn consumer(cx: &Ctxt, model: &ConsumerModel<'_>) {
    repeated(cx, model);
    qualifiers(cx, model);
    generics(cx, model);
    parameters(cx, model);
    group(cx, model);
    numbers(cx, model);
    waits(cx, model);
}

fn repeated(cx: &Ctxt, model: &ConsumerModel<'_>) {
    for attribute in &model.input.repeated {
        if attribute
            .path()
            .segments
            .last()
            .is_some_and(|last| last.ident == "consumer")
        {
            cx.error(
                attribute,
                "a function is one consumer; write a second function, or leave this #[consumer] out",
            );
        } else {
            cx.error(
                attribute,
                "#[topic] goes above the type that the function takes, not above the function",
            );
        }
    }
}

fn qualifiers(cx: &Ctxt, model: &ConsumerModel<'_>) {
    let signature = &model.input.function.sig;
    if signature.asyncness.is_none() {
        cx.error(
            signature.fn_token,
            "#[consumer] needs an async fn; add `async` before `fn`",
        );
    }
    if let Some(constness) = &signature.constness {
        cx.error(
            constness,
            "a consumer cannot be `const`: it runs when a message comes; leave `const` out",
        );
    }
    if let Safety::Unsafe(token) = &signature.safety {
        let message =
            "a consumer is called by the runtime, so it cannot be `unsafe`; write an `unsafe` block within";
        cx.error(token, message);
    }
    if let Some(abi) = &signature.abi {
        cx.error(abi, "a consumer is called from Rust; leave `extern` out");
    }
    if let Some(variadic) = &signature.variadic {
        cx.error(
            variadic,
            "a consumer has a fixed list of parameters; leave `...` out",
        );
    }
}

fn generics(cx: &Ctxt, model: &ConsumerModel<'_>) {
    for param in &model.input.function.sig.generics.params {
        match param {
            GenericParam::Lifetime(param) => {
                let message = format!(
                    "leave the lifetime `{}` out; write for example `&Context`",
                    param.lifetime
                );
                cx.error(&param.lifetime, message);
            }
            GenericParam::Type(param) => {
                let message = format!(
                    "a consumer cannot be generic, since nothing names `{}` when it is registered; write one function \
                     for each type, which may call a generic one",
                    param.ident
                );
                cx.error(param, message);
            }
            GenericParam::Const(param) => {
                let message =
                    "a consumer cannot be generic; write the number itself, or take it from a `State<T>`";
                cx.error(param, message);
            }
        }
    }
}

fn parameters(cx: &Ctxt, model: &ConsumerModel<'_>) {
    let signature = &model.input.function.sig;
    let mut is_first = true;
    for parameter in &signature.inputs {
        match parameter {
            FnArg::Receiver(receiver) => cx.error(
                receiver,
                "a consumer is a free function without `self`; take what it needs as a `State<T>`",
            ),
            FnArg::Typed(parameter) => {
                parameter_type(cx, parameter, is_first, model);
                is_first = false;
            }
        }
    }
    if is_first && signature.receiver().is_none() {
        let message = format!(
            "a consumer takes the event as its first parameter; write for example `{}(event: OrderCreated)`",
            signature.ident
        );
        cx.error_at(signature.paren_token.span.join(), message);
    }
}

fn parameter_type(cx: &Ctxt, parameter: &PatType, is_first: bool, model: &ConsumerModel<'_>) {
    let ty = &*parameter.ty;
    if let Some(mutable) = mutable_reference(ty) {
        cx.error_at(
            mutable,
            "a parameter cannot be `&mut`; take it by value, or by `&`",
        );
    }
    if let Some(word) = find_word(ty.to_token_stream(), "impl") {
        cx.error(
            word,
            "`impl Trait` cannot be a parameter of a consumer; name the type",
        );
        return;
    }
    if let Some(lifetime) = named_lifetime(ty)
        && model.input.function.sig.generics.params.is_empty()
        && lifetime.ident != "static"
        && lifetime.ident != "_"
    {
        cx.error(lifetime, "leave the lifetime out; write for example `&Context`");
    }
    let is_batch = model.event.as_ref().is_some_and(|event| event.is_batch);
    match dereferenced(ty).0 {
        Type::TraitObject(object) => {
            cx.error(
                object,
                "`dyn Trait` cannot be made from a message; name the type, as in `State<Box<dyn Trait>>`",
            );
        }
        Type::Path(path) if is_first && path.path.is_ident("Vec") => {
            cx.error(
                path,
                "a batch names its events; write for example `Vec<OrderCreated>`",
            );
        }
        Type::Array(array) if is_first => {
            cx.error(
                array,
                "a batch has no fixed size; write for example `Vec<OrderCreated>`",
            );
        }
        Type::Tuple(tuple) if is_first => {
            cx.error(
                tuple,
                "the first parameter is one event, or a `Vec` of one kind; write one function for each topic",
            );
        }
        Type::Slice(slice) if !is_first && !is_batch => {
            cx.error(
                slice,
                "a slice cannot be made from one message; take one value, or the events as a `Vec`",
            );
        }
        _ => {}
    }
}

fn mutable_reference(ty: &Type) -> Option<proc_macro2::Span> {
    match ty {
        Type::Reference(reference) => reference
            .mutability
            .map(|token| token.span)
            .or_else(|| mutable_reference(&reference.elem)),
        Type::Group(group) => mutable_reference(&group.elem),
        _ => None,
    }
}

fn named_lifetime(ty: &Type) -> Option<&syn::Lifetime> {
    match ty {
        Type::Reference(reference) => reference.lifetime.as_ref(),
        Type::Group(group) => named_lifetime(&group.elem),
        _ => None,
    }
}

fn find_word(tokens: TokenStream, word: &str) -> Option<proc_macro2::Ident> {
    tokens.into_iter().find_map(|tree| match tree {
        TokenTree::Ident(ident) if ident == word => Some(ident),
        TokenTree::Group(group) => find_word(group.stream(), word),
        _ => None,
    })
}

fn group(cx: &Ctxt, model: &ConsumerModel<'_>) {
    let options = &model.options;
    if model.broadcast && model.group.is_some() {
        let message = "with `broadcast` each process is a group of its own; leave `group` or `broadcast` out";
        cx.error_at(options.span("group"), message);
    }
    if model.broadcast && model.once {
        let message = "`once` needs a lasting group, which `broadcast` has not; leave one of them out";
        cx.error_at(options.span("once"), message);
    }
    if model.group.is_none()
        && options.arg("group").is_none()
        && !model.broadcast
        && let Err(error) = GroupName::check(&model.name)
    {
        let message = format!("the function's name cannot be its group: {error}; add `group = \"…\"`");
        cx.error(&model.input.function.sig.ident, message);
    }
}

fn numbers(cx: &Ctxt, model: &ConsumerModel<'_>) {
    let options = &model.options;
    let event = model.event.as_ref();
    if let Some(event) = event.filter(|event| !event.is_batch)
        && options.arg("batch").is_some()
    {
        let topic = type_text(&event.topic);
        let message = format!("`batch` needs a handler of many events; take `Vec<{topic}>` or `&[{topic}]`");
        cx.error_at(options.span("batch"), message);
        return;
    }
    if let (Some(prefetch), Some(batch)) = (model.prefetch, model.batch)
        && prefetch < batch
    {
        let message =
            format!("`prefetch = {prefetch}` never fills `batch = {batch}`; make it at least {batch}");
        cx.error_at(options.span("prefetch"), message);
    } else if let (Some(prefetch), Some(concurrency)) = (model.prefetch, model.concurrency)
        && prefetch < concurrency
    {
        let message = format!(
            "`prefetch = {prefetch}` keeps only {prefetch} of {concurrency} handlers busy; make it at least \
             {concurrency}, or lower `concurrency`"
        );
        cx.error_at(options.span("prefetch"), message);
    }
}

fn waits(cx: &Ctxt, model: &ConsumerModel<'_>) {
    let span = |name: &str| {
        let arg = model.retry.arg(name);
        match arg.map(|arg| &arg.value) {
            Some(crate::attr::Value::Is(tokens)) => tokens.span(),
            _ => model.retry.span(name),
        }
    };
    match (model.base, model.max) {
        (Some(base), Some(max)) if base > max => {
            cx.error_at(
                span("base"),
                "`base` is longer than `max`; the first wait cannot exceed the longest",
            );
        }
        (Some(base), None) if base > MAX_DEFAULT && model.retry.arg("max").is_none() => {
            cx.error_at(
                span("base"),
                "`base` is longer than `max`, which is 5 minutes unless it is set; add `max`",
            );
        }
        (None, Some(max)) if max < BASE_DEFAULT && model.retry.arg("base").is_none() => {
            cx.error_at(
                span("max"),
                "`max` is shorter than `base`, which is 1 second unless it is set; add `base`",
            );
        }
        _ => {}
    }
}
