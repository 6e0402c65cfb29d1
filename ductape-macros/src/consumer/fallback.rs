use proc_macro2::TokenStream;
use quote::quote;
use syn::parse_quote;

use super::expand;
use super::model::ConsumerModel;

/// The user's function and the errors, with a consumer that is not registered: without it, every place that names the
/// function would be reported as well.
pub(crate) fn consumer(model: &ConsumerModel<'_>, error: &syn::Error) -> TokenStream {
    let signature = &model.input.function.sig;
    let mut function = model.input.function.clone();
    function
        .attrs
        .push(parse_quote!(#[allow(dead_code, clippy::unused_async)]));
    // What was reported already would be refused once more by the compiler.
    function.sig.constness = None;
    let error = error.to_compile_error();
    // Within an impl block no type can stand.
    if signature.receiver().is_some() {
        return quote!(#function #error);
    }
    let marker = expand::marker(model);
    let (private, ident) = (&model.private, &signature.ident);
    quote! {
        #function
        #marker
        #error
        #[allow(deprecated)]
        const _: () = {
            #[automatically_derived]
            impl #private::Consumer for #ident {
                fn descriptor() -> &'static #private::ConsumerDescriptor {
                    ::core::unimplemented!()
                }
            }
        };
    }
}
