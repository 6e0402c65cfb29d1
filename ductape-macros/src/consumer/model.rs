use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{FnArg, GenericArgument, PathArguments, Type};

use ductape_schema::GroupName;

use super::parse::ConsumerInput;
use crate::attr::{Args, Options};
use crate::ctxt::Ctxt;
use crate::private::{Private, unraw};

const OPTIONS: &[&str] = &[
    "group",
    "broadcast",
    "concurrency",
    "prefetch",
    "batch",
    "retry",
    "timeout",
    "once",
    "ordering",
    "start",
    "crate",
];

const RETRY_OPTIONS: &[&str] = &["attempts", "backoff", "base", "max"];

const ELSEWHERE: &[(&str, &str)] = &[
    ("attempts", "write `retry(attempts = 5)`"),
    ("backoff", "write `retry(backoff = \"exponential\")`"),
    ("base", "write `retry(base = \"200ms\")`"),
    ("max", "write `retry(max = \"1m\")`"),
    ("retries", "write `retry(attempts = 5)`"),
    ("topic", "the topic is that of the function's first parameter"),
    ("key", "it belongs to the #[topic]"),
    ("version", "it belongs to the #[topic]"),
    ("workers", "write `concurrency = 16`"),
];

const RETRY_ELSEWHERE: &[(&str, &str)] = &[
    ("timeout", "write it beside: `timeout = \"30s\", retry(…)`"),
    ("count", "write `attempts = 5`"),
    ("delay", "write `base = \"200ms\"`"),
];

/// What a `#[consumer]` means.
pub(crate) struct ConsumerModel<'a> {
    pub(crate) input: &'a ConsumerInput,
    pub(crate) private: Private,
    pub(crate) options: Options<'a>,
    /// The options of `retry(…)`.
    pub(crate) retry: Options<'a>,
    pub(crate) name: String,
    pub(crate) group: Option<String>,
    pub(crate) broadcast: bool,
    pub(crate) once: bool,
    pub(crate) concurrency: Option<u64>,
    pub(crate) prefetch: Option<u64>,
    pub(crate) batch: Option<u64>,
    pub(crate) attempts: Option<u64>,
    pub(crate) backoff: Option<&'static str>,
    pub(crate) base: Option<Duration>,
    pub(crate) max: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) ordering: Option<&'static str>,
    pub(crate) start: Option<&'static str>,
    /// The first parameter; `None` where there is none.
    pub(crate) event: Option<Event>,
    /// The parameters after it.
    pub(crate) extractors: Vec<Extractor>,
}

/// What the first parameter takes.
pub(crate) struct Event {
    /// The topic's type.
    pub(crate) topic: Type,
    pub(crate) is_batch: bool,
    pub(crate) by_reference: bool,
}

/// A parameter after the event.
pub(crate) struct Extractor {
    /// The type that is extracted.
    pub(crate) owned: Type,
    pub(crate) by_reference: bool,
}

impl<'a> ConsumerModel<'a> {
    pub(crate) fn build(cx: &'a Ctxt, input: &'a ConsumerInput) -> Self {
        let options = Options::new(cx, "#[consumer]", &input.args.named, OPTIONS, ELSEWHERE);
        for value in &input.args.positional {
            let message = match syn::parse2::<syn::LitStr>(value.clone()) {
                Ok(text) => format!(
                    "an option has a name; if this is the group, write `group = {:?}`",
                    text.value()
                ),
                Err(_) => "this is no option; known options are written `name = value`".to_owned(),
            };
            cx.error(value, message);
        }
        let retry = options.list(
            "retry",
            "retry(attempts = 5, backoff = \"exponential\", base = \"200ms\")",
        );
        let retry = retry.map_or_else(
            || Args::read(TokenStream::new()),
            |list| Args::read(list.stream()),
        );
        for value in &retry.positional {
            cx.error(
                value,
                "an option has a name; write for example `retry(attempts = 5)`",
            );
        }
        let retry = Options::new(cx, "`retry`", &retry.named, RETRY_OPTIONS, RETRY_ELSEWHERE);
        let mut parameters = input
            .function
            .sig
            .inputs
            .iter()
            .filter_map(|parameter| match parameter {
                FnArg::Typed(parameter) => Some(&*parameter.ty),
                FnArg::Receiver(_) => None,
            });
        let event = parameters.next().map(Event::of);
        let is_batch = event.as_ref().is_some_and(|event| event.is_batch);
        Self {
            input,
            private: Private::new(cx, options.arg("crate")),
            name: unraw(&input.function.sig.ident),
            group: options
                .text("group", "a text in quotes", "group = \"billing\"")
                .map(|group| {
                    if let Err(error) = GroupName::check(&group.value()) {
                        cx.error(&group, error);
                    }
                    group.value()
                }),
            broadcast: options.flag("broadcast"),
            once: options.flag("once"),
            concurrency: options.number("concurrency", 1..=4_096, "concurrency = 16"),
            prefetch: options.number("prefetch", 1..=65_535, "prefetch = 64"),
            batch: options.number("batch", 1..=65_535, "batch = 100"),
            attempts: retry.number("attempts", 1..=u64::from(u32::MAX), "attempts = 5"),
            backoff: retry.choice("backoff", &["exponential", "fixed"]),
            base: retry.duration("base", "base = \"200ms\""),
            max: retry.duration("max", "max = \"1m\""),
            timeout: options.duration("timeout", "timeout = \"30s\""),
            ordering: options.choice("ordering", &["strict", "relaxed"]),
            start: options.choice("start", &["latest", "earliest"]),
            event,
            extractors: parameters.map(|ty| Extractor::of(ty, is_batch)).collect(),
            options,
            retry,
        }
    }
}

impl Event {
    fn of(written: &Type) -> Self {
        let (inner, by_reference) = dereferenced(written);
        let element = match inner {
            Type::Slice(slice) if by_reference => Some(&*slice.elem),
            other => element_of_vec(other),
        };
        Self {
            topic: element.unwrap_or(inner).clone(),
            is_batch: element.is_some(),
            by_reference,
        }
    }
}

impl Extractor {
    fn of(written: &Type, is_batch: bool) -> Self {
        let (inner, by_reference) = dereferenced(written);
        let owned = match inner {
            // What a batch handler borrows as a slice is extracted as a `Vec`.
            Type::Slice(slice) if by_reference && is_batch => {
                let element = &slice.elem;
                syn::parse_quote!(::std::vec::Vec<#element>)
            }
            other => other.clone(),
        };
        Self { owned, by_reference }
    }
}

/// The type without its `&`, and without the groups that `macro_rules!` leaves.
pub(crate) fn dereferenced(ty: &Type) -> (&Type, bool) {
    match ty {
        Type::Reference(reference) => (dereferenced(&reference.elem).0, true),
        Type::Group(group) => dereferenced(&group.elem),
        Type::Paren(paren) => dereferenced(&paren.elem),
        other => (other, false),
    }
}

/// `T` of `Vec<T>`, also with its path.
fn element_of_vec(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(element)) if last.ident == "Vec" && arguments.args.len() == 1 => {
            Some(element)
        }
        _ => None,
    }
}
