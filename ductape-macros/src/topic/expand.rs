use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Item, Member};

use super::contract;
use super::model::TopicModel;
use super::parse::{FieldInput, Shape};
use super::serde::{Serde, field_name};
use crate::derives::add_missing;
use crate::private::{optional, type_text, unraw};

/// The item with its derives, and the implementation of `Topic` for it or its instances.
pub(crate) fn topic(model: &TopicModel<'_>) -> TokenStream {
    let item = item(model);
    let topics = match &model.instances {
        None => {
            let ident = &model.input.ident;
            implementation(model, ident, &unraw(ident), &model.event)
        }
        Some((_, instances)) => instances
            .iter()
            .map(|instance| {
                let event = instance
                    .event
                    .as_ref()
                    .map_or_else(|| model.event.clone(), syn::LitStr::value);
                implementation(model, &instance.ty, &type_text(&instance.ty), &event)
            })
            .collect(),
    };
    quote!(#item #topics)
}

/// The user's item, with what it lacks of the derives.
pub(crate) fn item(model: &TopicModel<'_>) -> TokenStream {
    let private = &model.private;
    let mut item = model.input.item.clone();
    let attributes = match &mut item {
        Item::Struct(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        // `parse` lets nothing else through.
        _ => return item.into_token_stream(),
    };
    add_missing(
        attributes,
        &model.derives.missing,
        |name| model.derives.has(name),
        private,
    );
    item.into_token_stream()
}

fn implementation(model: &TopicModel<'_>, ty: &impl ToTokens, type_name: &str, event: &str) -> TokenStream {
    let TopicModel {
        private,
        version,
        title,
        description,
        portable,
        ..
    } = model;
    let key = optional(key_name(model));
    let compatibility = optional(model.compatibility.map(str::to_owned));
    let sample = model.sample.function(private, ty);
    let write_key = write_key(model);
    let tracked = contract::tracked(event, *version);
    let test = contract_test(model, ty, event);
    let descriptor = format_ident!("__DUCTAPE_TOPIC", span = Span::mixed_site());
    quote! {
        #[allow(deprecated)]
        const _: () = {
            static #descriptor: #private::TopicDescriptor = #private::TopicDescriptor {
                event: #event,
                version: #version,
                type_name: #type_name,
                name: #title,
                description: #description,
                key: #key,
                compatibility: #compatibility,
                portable: #portable,
                location: ::core::concat!(::core::file!(), ":", ::core::line!()),
                schema: #private::schema_of::<#ty>,
                sample: #sample,
                key_of: #private::key_of::<#ty>,
            };
            #[automatically_derived]
            impl #private::Topic for #ty {
                const EVENT: &'static ::core::primitive::str = #event;
                const VERSION: ::core::primitive::u32 = #version;
                fn descriptor() -> &'static #private::TopicDescriptor {
                    &#descriptor
                }
                #write_key
            }
            #private::inventory::submit! { #private::RegisteredTopic(&#descriptor) }
            #tracked
        };
        #test
    }
}

/// The test that holds the topic to its contract. It stands beside the item, since a harness finds none within a block.
fn contract_test(model: &TopicModel<'_>, ty: &impl ToTokens, event: &str) -> TokenStream {
    let TopicModel { private, version, .. } = model;
    let name = event.replace([':', '-'], "_");
    let name = format_ident!("contract_of_{name}_v{version}");
    quote! {
        #[cfg(test)]
        #[allow(unnameable_test_items)]
        #[::core::prelude::v1::test]
        fn #name() {
            #private::contract_test::<#ty>(::core::env!("CARGO_MANIFEST_DIR"));
        }
    }
}

/// The conditions under which a variant exists; those of the item itself are decided before it is seen here.
fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect()
}

/// The key's fields as they are named on the wire, with `/` between them.
fn key_name(model: &TopicModel<'_>) -> Option<String> {
    let name = |member: &Member| match member {
        Member::Unnamed(index) => index.index.to_string(),
        Member::Named(ident) => {
            let (fields, case) = match &model.input.shape {
                Shape::Struct(fields, _) => (fields, model.serde.rename_all),
                Shape::Enum(variants) => match variants.first() {
                    Some(variant) => {
                        let own = Serde::read(&variant.attributes, "serde");
                        (&variant.fields, own.rename_all.or(model.serde.rename_all_fields))
                    }
                    None => return unraw(ident),
                },
            };
            let own = field(fields, member).map(|input| Serde::read(&input.field.attrs, "serde"));
            field_name(ident, &own.unwrap_or_default(), case)
        }
    };
    let names: Vec<String> = model.key.iter().map(name).collect();
    (!names.is_empty()).then(|| names.join("/"))
}

fn field<'a>(fields: &'a [FieldInput], member: &Member) -> Option<&'a FieldInput> {
    match member {
        Member::Named(ident) => fields
            .iter()
            .find(|input| input.field.ident.as_ref() == Some(ident)),
        Member::Unnamed(index) => fields.get(index.index as usize),
    }
}

/// `write_key`, with what a field's type lacks reported at the field.
fn write_key(model: &TopicModel<'_>) -> TokenStream {
    let private = &model.private;
    let key = format_ident!("__ductape_key", span = Span::mixed_site());
    if model.key.is_empty() {
        return quote!(fn write_key(&self, _: &mut #private::KeyWriter<'_>) {});
    }
    let write_all = |writes: Vec<TokenStream>| {
        let between = quote!(#private::KeyWriter::write(#key, "/"););
        let mut all = TokenStream::new();
        for (at, write) in writes.into_iter().enumerate() {
            if at > 0 {
                all.extend(between.clone());
            }
            all.extend(write);
        }
        all
    };
    let write = |fields: &[FieldInput], member: &Member, value: TokenStream| {
        let span = field(fields, member).map_or_else(Span::call_site, |input| input.field.ty.span());
        let span = span.resolved_at(Span::call_site());
        // The value bears the span that an error is reported at.
        quote_spanned!(span=> #private::KeyWriter::write(#key, #value);)
    };
    let body = match &model.input.shape {
        Shape::Struct(fields, _) => {
            let writes = model.key.iter().map(|member| {
                let span = field(fields, member).map_or_else(Span::call_site, |input| input.field.ty.span());
                let span = span.resolved_at(Span::call_site());
                write(fields, member, quote_spanned!(span=> &self.#member))
            });
            let writes = write_all(writes.collect());
            return quote!(fn write_key(&self, #key: &mut #private::KeyWriter<'_>) { #writes });
        }
        Shape::Enum(variants) => variants.iter().map(|variant| {
            let conditions = conditions(&variant.attributes);
            let name = &variant.ident;
            let mut bindings = Vec::new();
            let mut writes = Vec::new();
            for (at, member) in model.key.iter().enumerate() {
                let span = field(&variant.fields, member)
                    .map_or_else(Span::call_site, |input| input.field.ty.span());
                let binding =
                    format_ident!("__ductape_key_{at}", span = span.resolved_at(Span::mixed_site()));
                bindings.push(quote!(#member: #binding));
                writes.push(write(&variant.fields, member, quote!(#binding)));
            }
            let writes = write_all(writes);
            quote!(#(#conditions)* Self::#name { #(#bindings,)* .. } => { #writes })
        }),
    };
    let body: TokenStream = body.collect();
    quote! {
        fn write_key(&self, #key: &mut #private::KeyWriter<'_>) {
            match self { #body }
        }
    }
}
