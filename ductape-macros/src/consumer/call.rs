//! The function through which the runtime calls the user's.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ReturnType;
use syn::spanned::Spanned as _;

use super::expand::local;
use super::model::{ConsumerModel, Event, Extractor};
use crate::private::Private;

/// Decodes, extracts, calls the user's function, and turns what it returns into a verdict.
pub(super) fn function(model: &ConsumerModel<'_>, event: &Event) -> TokenStream {
    let private = &model.private;
    let ident = &model.input.function.sig.ident;
    let names = Names::new();
    let Names {
        called,
        delivery,
        events,
        returned,
        ..
    } = &names;
    let (given, verdict) = if event.is_batch {
        (quote!(BatchDelivery), quote!(::std::vec::Vec<#private::Verdict>))
    } else {
        (quote!(Delivery), quote!(#private::Verdict))
    };
    let borrow = |by_reference: bool| by_reference.then(|| quote!(&));
    let first = borrow(event.by_reference);
    let mut arguments = quote!(#first #events);
    let mut extracts = TokenStream::new();
    for (at, extractor) in model.extractors.iter().enumerate() {
        let value = local(&format!("__ductape_parameter_{at}"));
        extracts.extend(extract(private, event, extractor, &value, &names));
        let borrow = borrow(extractor.by_reference);
        arguments.extend(quote!(, #borrow #value));
    }
    let decode = decode(private, event, &names);
    let finish = finish(model, event, &names);
    let body = quote!({
        #decode
        #extracts
        let #returned = #ident(#arguments).await;
        #finish
    });
    // A future that is not `Send` is reported where this is.
    let span = ident.span().resolved_at(Span::mixed_site());
    let boxed = quote_spanned!(span=> ::std::boxed::Box::pin(async move #body));
    quote! {
        fn #called(#delivery: &#private::#given) -> #private::BoxFuture<'_, #verdict> {
            #boxed
        }
    }
}

/// What the generated function calls things.
struct Names {
    called: Ident,
    delivery: Ident,
    /// The event, or all of a batch.
    events: Ident,
    decoded: Ident,
    ready: Ident,
    error: Ident,
    returned: Ident,
}

impl Names {
    fn new() -> Self {
        Self {
            called: local("__ductape_call"),
            delivery: local("__ductape_delivery"),
            events: local("__ductape_event"),
            decoded: local("__ductape_decoded"),
            ready: local("__ductape_ready"),
            error: local("__ductape_error"),
            returned: local("__ductape_returned"),
        }
    }
}

/// The trait that the parameters after the event implement.
pub(super) fn extractor_trait(event: &Event) -> TokenStream {
    if event.is_batch {
        quote!(FromBatch)
    } else {
        quote!(FromDelivery)
    }
}

/// What the runtime knows of the event's type. A type that is no topic is reported where it stands.
pub(super) fn consumed(private: &Private, event: &Event) -> TokenStream {
    let topic = &event.topic;
    let span = topic.span().resolved_at(Span::mixed_site());
    let there = private.at(span);
    quote_spanned!(span=> #there::consumed::<#topic>())
}

fn decode(private: &Private, event: &Event, names: &Names) -> TokenStream {
    let Names {
        delivery,
        events,
        decoded,
        ready,
        error,
        ..
    } = names;
    let consumed = consumed(private, event);
    if event.is_batch {
        let decode = quote!((#consumed.decode_batch)(#delivery));
        return quote! {
            let (#events, #decoded) = #decode;
            if #events.is_empty() {
                return #decoded.nothing();
            }
        };
    }
    let decode = quote!((#consumed.decode)(#delivery));
    quote! {
        let #events = match #decode {
            ::core::result::Result::Ok(#ready) => #ready,
            ::core::result::Result::Err(#error) => return #error,
        };
    }
}

fn extract(
    private: &Private,
    event: &Event,
    extractor: &Extractor,
    value: &Ident,
    names: &Names,
) -> TokenStream {
    let Names {
        delivery,
        decoded,
        ready,
        error,
        ..
    } = names;
    let owned = &extractor.owned;
    let from = extractor_trait(event);
    let span = owned.span().resolved_at(Span::mixed_site());
    let (make, failed) = if event.is_batch {
        (
            quote_spanned!(span=> <#owned as #private::#from>::from_batch(&#decoded)),
            quote!(#decoded.failed(#error)),
        )
    } else {
        (
            quote_spanned!(span=> <#owned as #private::#from>::from_delivery(#delivery)),
            quote!(<#private::Verdict as ::core::convert::From<_>>::from(#error)),
        )
    };
    quote! {
        let #value = match #make {
            ::core::result::Result::Ok(#ready) => #ready,
            ::core::result::Result::Err(#error) => return #failed,
        };
    }
}

fn finish(model: &ConsumerModel<'_>, event: &Event, names: &Names) -> TokenStream {
    let Names {
        delivery,
        decoded,
        returned,
        ..
    } = names;
    let signature = &model.input.function.sig;
    let span = match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let span = span.resolved_at(Span::mixed_site());
    // A type that is no outcome is reported where it stands.
    let there = model.private.at(span);
    let returned = Ident::new(&returned.to_string(), span);
    if event.is_batch {
        quote_spanned!(span=> #there::finish_batch(#returned, #decoded).known().await)
    } else {
        quote_spanned!(span=> #there::finish(#returned, #delivery).known().await)
    }
}
