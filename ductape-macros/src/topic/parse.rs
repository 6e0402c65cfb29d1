use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Attribute, Field, Fields, Generics, Item, Variant};

use crate::attr::Args;
use crate::sensitive;

/// What the macro was given.
pub(crate) struct TopicInput {
    pub(crate) args: Args,
    /// The user's item, without the attributes that are ours.
    pub(crate) item: Item,
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) shape: Shape,
    /// Further `#[topic]` attributes on the same item, and `#[consumer]`.
    pub(crate) repeated: Vec<Attribute>,
}

/// What the item is made of.
pub(crate) enum Shape {
    Struct(Vec<FieldInput>, Kind),
    Enum(Vec<VariantInput>),
}

/// How the fields are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Named,
    Tuple,
    Unit,
}

pub(crate) struct VariantInput {
    pub(crate) ident: Ident,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<FieldInput>,
    pub(crate) samples: Vec<Attribute>,
}

pub(crate) struct FieldInput {
    pub(crate) field: Field,
    pub(crate) samples: Vec<Attribute>,
    pub(crate) sensitive: Vec<Attribute>,
}

impl TopicInput {
    pub(crate) fn parse(attribute: TokenStream, item: TokenStream) -> syn::Result<Self> {
        let wrong = |tokens: &dyn ToTokens, what: &str| {
            let message =
                format!("{what} cannot be a topic; write `#[topic(\"…\")]` above a struct or an enum");
            Err(syn::Error::new_spanned(tokens.to_token_stream(), message))
        };
        let mut item = syn::parse2::<Item>(item)?;
        let (ident, generics, attributes, shape) = match &mut item {
            Item::Struct(item) => {
                let kind = kind(&item.fields);
                let shape = Shape::Struct(fields(&mut item.fields), kind);
                (&item.ident, &item.generics, &mut item.attrs, shape)
            }
            Item::Enum(item) => {
                let shape = Shape::Enum(item.variants.iter_mut().map(VariantInput::parse).collect());
                (&item.ident, &item.generics, &mut item.attrs, shape)
            }
            Item::Union(item) => return wrong(&item.union_token, "a union, which does not serialise,"),
            Item::Type(item) => return wrong(&item.type_token, "a type alias"),
            Item::Trait(item) => return wrong(&item.trait_token, "a trait"),
            Item::Fn(item) => {
                let message = "a function cannot be a topic; write `#[consumer]` above it to consume one";
                return Err(syn::Error::new_spanned(item.sig.fn_token, message));
            }
            other => return wrong(other, "this item"),
        };
        let (ident, generics) = (ident.clone(), generics.clone());
        let repeated = take(attributes, &["topic", "consumer"]);
        let attributes = attributes.clone();
        Ok(Self {
            args: Args::read(attribute),
            item,
            ident,
            generics,
            attributes,
            shape,
            repeated,
        })
    }
}

impl VariantInput {
    fn parse(variant: &mut Variant) -> Self {
        let samples = take(&mut variant.attrs, &["sample"]);
        Self {
            ident: variant.ident.clone(),
            attributes: variant.attrs.clone(),
            kind: kind(&variant.fields),
            fields: fields(&mut variant.fields),
            samples,
        }
    }
}

fn kind(fields: &Fields) -> Kind {
    match fields {
        Fields::Named(_) => Kind::Named,
        Fields::Unnamed(_) => Kind::Tuple,
        Fields::Unit => Kind::Unit,
    }
}

fn fields(fields: &mut Fields) -> Vec<FieldInput> {
    let parse = |field: &mut Field| {
        let samples = take(&mut field.attrs, &["sample"]);
        let sensitive = sensitive::mark(field);
        FieldInput {
            field: field.clone(),
            samples,
            sensitive,
        }
    };
    fields.iter_mut().map(parse).collect()
}

/// Takes the attributes of these names out of `attributes`.
pub(crate) fn take(attributes: &mut Vec<Attribute>, names: &[&str]) -> Vec<Attribute> {
    let is_ours = |attribute: &Attribute| {
        let last = attribute.path().segments.last();
        last.is_some_and(|segment| names.iter().any(|name| segment.ident == name))
    };
    let (ours, others) = std::mem::take(attributes).into_iter().partition(is_ours);
    *attributes = others;
    ours
}
