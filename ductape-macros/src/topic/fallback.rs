use proc_macro2::TokenStream;
use quote::quote;
use syn::GenericParam;

use super::expand;
use super::model::TopicModel;

/// The user's item and the errors, with an implementation that does nothing: without it, every use of the type would
/// be reported as well.
pub(crate) fn topic(model: &TopicModel<'_>, error: &syn::Error) -> TokenStream {
    let item = expand::item(model);
    let error = error.to_compile_error();
    let generics = &model.input.generics;
    // Data that is borrowed does not decode into an owned value, so that no implementation would compile.
    if generics
        .params
        .iter()
        .any(|param| matches!(param, GenericParam::Lifetime(_)))
    {
        return quote!(#item #error);
    }
    let TopicModel { private, .. } = model;
    let ident = &model.input.ident;
    let (params, arguments, bounds) = generics.split_for_impl();
    // The bounds of a generic type are left to the implementations that its derives make.
    let holds = (!generics.params.is_empty()).then(|| {
        let bounds = bounds.map(|bounds| &bounds.predicates).into_iter().flatten();
        quote! {
            where
                #(#bounds,)*
                Self: #private::serde::Serialize
                    + #private::serde::de::DeserializeOwned
                    + ::core::marker::Send
                    + ::core::marker::Sync
                    + 'static,
        }
    });
    quote! {
        #item
        #error
        #[allow(deprecated)]
        const _: () = {
            #[automatically_derived]
            impl #params #private::Topic for #ident #arguments #holds {
                const EVENT: &'static ::core::primitive::str = "";
                const VERSION: ::core::primitive::u32 = 1;
                fn descriptor() -> &'static #private::TopicDescriptor {
                    ::core::unimplemented!()
                }
                fn write_key(&self, _: &mut #private::KeyWriter<'_>) {}
            }
        };
    }
}
