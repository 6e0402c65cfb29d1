use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse_quote;
use syn::spanned::Spanned as _;

use super::call;
use super::model::{ConsumerModel, Event};

/// The function, a type of its name, and the registration.
pub(crate) fn consumer(model: &ConsumerModel<'_>) -> TokenStream {
    let Some(event) = &model.event else {
        return TokenStream::new();
    };
    let ConsumerModel { private, name, .. } = model;
    let ident = &model.input.function.sig.ident;
    let mut function = model.input.function.clone();
    // It is `async` for the runtime's sake, whether it waits for something or not.
    function.attrs.push(parse_quote!(#[allow(clippy::unused_async)]));
    let marker = marker(model);
    let options = options(model);
    let requires = requires(model, event);
    let handler = if event.is_batch {
        quote!(Batch)
    } else {
        quote!(Single)
    };
    let call = call::function(model, event);
    let descriptor = local("__DUCTAPE_CONSUMER");
    let called = local("__ductape_call");
    let consumed = call::consumed(private, event);
    quote! {
        #function
        #marker
        #[allow(deprecated)]
        const _: () = {
            static #descriptor: #private::ConsumerDescriptor = #private::ConsumerDescriptor {
                name: #name,
                location: ::core::concat!(::core::file!(), ":", ::core::line!()),
                topic: #consumed.topic,
                options: #options,
                requires: #requires,
                handler: #private::Handler::#handler(#called),
            };
            #call
            #[automatically_derived]
            impl #private::Consumer for #ident {
                fn descriptor() -> &'static #private::ConsumerDescriptor {
                    &#descriptor
                }
            }
            #private::inventory::submit! { #private::RegisteredConsumer(&#descriptor) }
        };
    }
}

/// The type that stands for the function.
pub(crate) fn marker(model: &ConsumerModel<'_>) -> TokenStream {
    let function = &model.input.function;
    let (ident, visibility) = (&function.sig.ident, &function.vis);
    // Braces keep it out of the namespace of values, where the function is.
    quote! {
        #[doc(hidden)]
        #[allow(
            dead_code,
            missing_debug_implementations,
            non_camel_case_types,
            unreachable_pub,
            clippy::empty_structs_with_brackets
        )]
        #visibility struct #ident {}
    }
}

fn options(model: &ConsumerModel<'_>) -> TokenStream {
    let private = &model.private;
    let mut fields = TokenStream::new();
    let mut set = |name: &str, value: TokenStream| {
        let name = format_ident!("{name}");
        fields.extend(quote!(#name: #value,));
    };
    let some = |value: TokenStream| quote!(::core::option::Option::Some(#value));
    if let Some(group) = &model.group {
        set("group", some(quote!(#group)));
    }
    for (name, flag) in [("broadcast", model.broadcast), ("once", model.once)] {
        if flag {
            set(name, quote!(true));
        }
    }
    let numbers = [
        ("concurrency", model.concurrency),
        ("prefetch", model.prefetch),
        ("batch", model.batch),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            let number = syn::LitInt::new(&number.to_string(), Span::mixed_site());
            set(name, some(quote!(#number)));
        }
    }
    if let Some(timeout) = model.timeout {
        set("timeout", some(duration(timeout)));
    }
    if let Some(ordering) = model.ordering {
        let ordering = variant(ordering);
        set("ordering", some(quote!(#private::Ordering::#ordering)));
    }
    if let Some(start) = model.start {
        let start = variant(start);
        set("start", some(quote!(#private::Start::#start)));
    }
    if let Some(retry) = retry(model) {
        set("retry", retry);
    }
    if fields.is_empty() {
        return quote!(#private::ConsumerOptions::DEFAULT);
    }
    quote!(#private::ConsumerOptions { #fields ..#private::ConsumerOptions::DEFAULT })
}

fn retry(model: &ConsumerModel<'_>) -> Option<TokenStream> {
    let private = &model.private;
    let mut fields = TokenStream::new();
    if let Some(attempts) = model.attempts {
        let attempts = syn::LitInt::new(&attempts.to_string(), Span::mixed_site());
        fields.extend(quote!(attempts: ::core::option::Option::Some(#attempts),));
    }
    if let Some(backoff) = model.backoff {
        let backoff = variant(backoff);
        fields.extend(quote!(backoff: ::core::option::Option::Some(#private::Backoff::#backoff),));
    }
    for (name, wait) in [("base", model.base), ("max", model.max)] {
        if let Some(wait) = wait {
            let (name, wait) = (format_ident!("{name}"), duration(wait));
            fields.extend(quote!(#name: ::core::option::Option::Some(#wait),));
        }
    }
    (!fields.is_empty()).then(|| quote!(#private::RetryOptions { #fields ..#private::RetryOptions::DEFAULT }))
}

/// `strict` as `Strict`.
fn variant(word: &str) -> Ident {
    let (first, rest) = word.split_at(1);
    format_ident!("{}{rest}", first.to_ascii_uppercase())
}

fn duration(duration: Duration) -> TokenStream {
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if Duration::from_millis(millis) == duration => {
            quote!(::core::time::Duration::from_millis(#millis))
        }
        _ => {
            let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
            quote!(::core::time::Duration::new(#seconds, #nanos))
        }
    }
}

/// What the parameters need at start-up.
fn requires(model: &ConsumerModel<'_>, event: &Event) -> TokenStream {
    let private = &model.private;
    let requirements = local("__ductape_requirements");
    let from = call::extractor_trait(event);
    let require = model.extractors.iter().map(|extractor| {
        let owned = &extractor.owned;
        let span = owned.span().resolved_at(Span::mixed_site());
        quote_spanned!(span=> <#owned as #private::#from>::require(#requirements);)
    });
    let require: TokenStream = require.collect();
    if require.is_empty() {
        return quote!(|_| {});
    }
    quote!(|#requirements| { #require })
}

/// A name in generated code that no name of the user's can meet.
pub(super) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
