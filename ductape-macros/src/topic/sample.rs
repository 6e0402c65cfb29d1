//! What `#[sample(…)]` on fields and variants says.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Expr, Meta};

use super::parse::{FieldInput, Kind, Shape, VariantInput};
use super::serde::{Case, Serde, field_name, variant_name};
use crate::ctxt::Ctxt;
use crate::private::{Private, optional};

/// The samples of a topic's fields.
#[derive(Default)]
pub(crate) struct SampleModel {
    /// For enums: the variant that the sample is of.
    pub(crate) variant: Option<VariantSample>,
    pub(crate) fields: Vec<FieldSample>,
}

pub(crate) struct VariantSample {
    name: String,
    /// Which one it is of those that are read.
    index: usize,
    tagging: Tagging,
}

enum Tagging {
    External,
    Internal(String),
    Adjacent(String, String),
    Untagged,
}

pub(crate) struct FieldSample {
    at: At,
    value: Expr,
    /// The conditions under which the field exists.
    conditions: Vec<Attribute>,
}

enum At {
    Whole,
    Merge,
    Field(String),
    Index(usize),
}

impl SampleModel {
    pub(crate) fn build(cx: &Ctxt, shape: &Shape, serde: &Serde) -> Self {
        match shape {
            Shape::Struct(fields, kind) => Self {
                variant: None,
                fields: fields_of(cx, fields, *kind, serde.rename_all),
            },
            Shape::Enum(variants) => Self::of_enum(cx, variants, serde),
        }
    }

    fn of_enum(cx: &Ctxt, variants: &[VariantInput], serde: &Serde) -> Self {
        let mut chosen: Option<Self> = None;
        let mut marked = false;
        let mut index = 0;
        for variant in variants {
            let own = Serde::read(&variant.attributes, "serde");
            let case = own.rename_all.or(serde.rename_all_fields);
            let fields = fields_of(cx, &variant.fields, variant.kind, case);
            let is_marked = is_marked(cx, variant);
            if is_marked && marked {
                let message = "a second variant is the sample; leave `#[sample]` on one of them";
                cx.error(&variant.samples[0], message);
            }
            if own.absent {
                if is_marked || !fields.is_empty() {
                    cx.error(
                        &variant.ident,
                        "`#[sample]` on a variant that serde skips; leave it out",
                    );
                }
                continue;
            }
            if (is_marked && !marked) || (chosen.is_none() && !fields.is_empty()) {
                let name = variant_name(&variant.ident, &own, serde.rename_all);
                let tagging = match (&serde.tag, &serde.content) {
                    _ if serde.untagged || own.untagged => Tagging::Untagged,
                    (Some(tag), Some(content)) => Tagging::Adjacent(tag.clone(), content.clone()),
                    (Some(tag), None) => Tagging::Internal(tag.clone()),
                    (None, _) => Tagging::External,
                };
                chosen = Some(Self {
                    variant: Some(VariantSample { name, index, tagging }),
                    fields,
                });
            }
            marked |= is_marked;
            index += 1;
        }
        chosen.unwrap_or_default()
    }

    /// The function that makes the sample of `ty`.
    pub(crate) fn function(&self, private: &Private, ty: &impl ToTokens) -> TokenStream {
        if self.variant.is_none() && self.fields.is_empty() {
            return quote!(#private::sample_of_schema::<#ty>);
        }
        let variant = self.variant.as_ref().map(|variant| {
            let VariantSample { name, index, tagging } = variant;
            let tagging = match tagging {
                Tagging::External => quote!(External),
                Tagging::Internal(tag) => quote!(Internal(#tag)),
                Tagging::Adjacent(tag, content) => quote!(Adjacent(#tag, #content)),
                Tagging::Untagged => quote!(Untagged(#index)),
            };
            quote!(#private::SampleVariant { name: #name, tagging: #private::Tagging::#tagging })
        });
        let variant = optional(variant);
        let fields = self.fields.iter().map(|field| {
            let FieldSample {
                at,
                value,
                conditions,
            } = field;
            let at = match at {
                At::Whole => quote!(Whole),
                At::Merge => quote!(Merge),
                At::Field(name) => quote!(Field(#name)),
                At::Index(index) => quote!(Index(#index)),
            };
            quote! {
                #(#conditions)*
                #private::Sample { at: #private::SampleAt::#at, value: || #private::sample_value(&(#value)) }
            }
        });
        quote!(|| #private::sample_of::<#ty>(#variant, &[#(#fields),*]))
    }
}

/// Whether the variant itself has `#[sample]`.
fn is_marked(cx: &Ctxt, variant: &VariantInput) -> bool {
    for attribute in &variant.samples {
        if !matches!(attribute.meta, Meta::Path(_)) {
            let message =
                "`#[sample]` above a variant takes no value; it says that the sample is of this variant";
            cx.error(attribute, message);
        }
    }
    !variant.samples.is_empty()
}

fn fields_of(cx: &Ctxt, fields: &[FieldInput], kind: Kind, case: Option<Case>) -> Vec<FieldSample> {
    let count = fields.len();
    let sample = |(index, input): (usize, &FieldInput)| {
        let (first, repeated) = input.samples.split_first()?;
        for attribute in repeated {
            cx.error(
                attribute,
                "`#[sample(…)]` is given twice for this field; leave one of them out",
            );
        }
        let Meta::List(list) = &first.meta else {
            cx.error(
                first,
                "`#[sample]` needs a value; write for example `#[sample(\"12345\")]`",
            );
            return None;
        };
        let Ok(value) = syn::parse2::<Expr>(list.tokens.clone()) else {
            cx.error(
                first,
                "`#[sample(…)]` takes one expression; write for example `#[sample(\"12345\")]`",
            );
            return None;
        };
        let own = Serde::read(&input.field.attrs, "serde");
        if own.absent {
            cx.error(
                first,
                "`#[sample(…)]` on a field that serde skips has no effect; leave it out",
            );
            return None;
        }
        let at = match &input.field.ident {
            _ if own.flatten => At::Merge,
            Some(ident) => At::Field(field_name(ident, &own, case)),
            None if kind == Kind::Tuple && count > 1 => At::Index(index),
            None => At::Whole,
        };
        let conditions = input
            .field
            .attrs
            .iter()
            .filter(|attribute| attribute.path().is_ident("cfg"));
        Some(FieldSample {
            at,
            value,
            conditions: conditions.cloned().collect(),
        })
    };
    fields.iter().enumerate().filter_map(sample).collect()
}
