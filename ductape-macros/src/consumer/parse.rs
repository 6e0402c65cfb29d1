use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Item, ItemFn, TraitItemFn};

use crate::attr::Args;

/// What the macro was given.
pub(crate) struct ConsumerInput {
    pub(crate) args: Args,
    /// The user's function, without further attributes of ours.
    pub(crate) function: ItemFn,
    /// Further `#[consumer]` attributes on the same function, and `#[topic]`.
    pub(crate) repeated: Vec<Attribute>,
}

impl ConsumerInput {
    pub(crate) fn parse(attribute: TokenStream, item: TokenStream) -> syn::Result<Self> {
        // A method in a trait has no body, which an item would need.
        if let Ok(method) = syn::parse2::<TraitItemFn>(item.clone())
            && method.default.is_none()
        {
            let message = "#[consumer] needs a function with a body; write it as a free `async fn`";
            return Err(syn::Error::new_spanned(method.sig.fn_token, message));
        }
        let mut function = match syn::parse2::<Item>(item)? {
            Item::Fn(function) => function,
            Item::Struct(item) => return Err(not_a_function(&item.struct_token, "a struct")),
            Item::Enum(item) => return Err(not_a_function(&item.enum_token, "an enum")),
            Item::Mod(item) => return Err(not_a_function(&item.mod_token, "a module")),
            Item::Impl(item) => return Err(not_a_function(&item.impl_token, "an impl block")),
            other => return Err(not_a_function(&other, "this item")),
        };
        let is_ours = |attribute: &Attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == "consumer" || segment.ident == "topic")
        };
        let (repeated, others) = function.attrs.into_iter().partition(is_ours);
        function.attrs = others;
        Ok(Self {
            args: Args::read(attribute),
            function,
            repeated,
        })
    }
}

fn not_a_function(tokens: &dyn ToTokens, what: &str) -> syn::Error {
    let hint = match what {
        "a struct" | "an enum" => "; a type is made a topic by `#[topic(\"broker:topic\")]`",
        _ => "",
    };
    let message = format!("{what} cannot be a consumer; write `#[consumer]` above a free `async fn`{hint}");
    syn::Error::new_spanned(tokens.to_token_stream(), message)
}
