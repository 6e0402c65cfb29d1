//! What serde's attributes make of names on the wire. What is not understood here is left to serde to report.

use proc_macro2::Ident;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, LitStr};

use crate::private::unraw;

/// What serde's attributes on a type, a variant or a field say, as far as it bears on the wire.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // each is an attribute of serde's that is there or not
pub(crate) struct Serde {
    pub(crate) rename: Option<String>,
    pub(crate) rename_all: Option<Case>,
    pub(crate) rename_all_fields: Option<Case>,
    pub(crate) tag: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) untagged: bool,
    /// Whether it is left out in one direction or both.
    pub(crate) skip: bool,
    /// Whether it is not read.
    pub(crate) absent: bool,
    pub(crate) flatten: bool,
    /// Whether what is missing takes its default.
    pub(crate) default: bool,
    pub(crate) deny_unknown_fields: bool,
    /// Whether it is on the wire as something else than its type says.
    pub(crate) changed: bool,
    /// Whether `crate = "…"` is set.
    pub(crate) has_crate: bool,
}

impl Serde {
    /// Reads the attributes named `path`: `serde` or `schemars`.
    pub(crate) fn read(attributes: &[Attribute], path: &str) -> Self {
        let mut serde = Self::default();
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident(path))
        {
            // A slip in it is reported by serde itself.
            let _ = attribute.parse_nested_meta(|meta| serde.option(&meta));
        }
        serde
    }

    fn option(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match name.as_str() {
            "rename" => self.rename = text(meta)?.or(self.rename.take()),
            "rename_all" => self.rename_all = text(meta)?.and_then(|text| Case::named(&text)),
            "rename_all_fields" => self.rename_all_fields = text(meta)?.and_then(|text| Case::named(&text)),
            "tag" => self.tag = text(meta)?,
            "content" => self.content = text(meta)?,
            "untagged" => self.untagged = true,
            "skip" | "skip_deserializing" => (self.skip, self.absent) = (true, true),
            "skip_serializing" => self.skip = true,
            "flatten" => self.flatten = true,
            "deny_unknown_fields" => self.deny_unknown_fields = true,
            "default" => {
                self.default = true;
                skip_value(meta)?;
            }
            "with" | "serialize_with" | "deserialize_with" | "from" | "try_from" | "into" | "remote"
            | "transparent" | "other" | "getter" => {
                self.changed = true;
                skip_value(meta)?;
            }
            "crate" => {
                self.has_crate = true;
                text(meta)?;
            }
            _ => skip_value(meta)?,
        }
        Ok(())
    }
}

/// The text of `name = "…"`, or of `name(deserialize = "…")`.
fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    if meta.input.peek(syn::Token![=]) {
        return Ok(Some(meta.value()?.parse::<LitStr>()?.value()));
    }
    let mut found = None;
    if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|side| {
            let value = side.value()?.parse::<LitStr>()?.value();
            if side.path.is_ident("deserialize") {
                found = Some(value);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn skip_value(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| skip_value(&inner))?;
    }
    Ok(())
}

/// How serde writes names.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "lowercase" => Self::Lower,
            "UPPERCASE" => Self::Upper,
            "PascalCase" => Self::Pascal,
            "camelCase" => Self::Camel,
            "snake_case" => Self::Snake,
            "SCREAMING_SNAKE_CASE" => Self::ScreamingSnake,
            "kebab-case" => Self::Kebab,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            _ => return None,
        })
    }

    /// The wire name of a field, which is written in snake case.
    fn of_field(self, name: &str) -> String {
        let pascal = || name.split('_').map(capitalised).collect::<String>();
        match self {
            Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => pascal(),
            Self::Camel => uncapitalised(&pascal()),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// The wire name of a variant, which is written in Pascal case.
    fn of_variant(self, name: &str) -> String {
        let snake = || {
            let mut snake = String::new();
            for (at, c) in name.char_indices() {
                if at > 0 && c.is_uppercase() {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            snake
        };
        match self {
            Self::Pascal => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => uncapitalised(name),
            Self::Snake => snake(),
            Self::ScreamingSnake => snake().to_ascii_uppercase(),
            Self::Kebab => snake().replace('_', "-"),
            Self::ScreamingKebab => snake().to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// The name of a field on the wire. `all` is what holds for all fields of its struct or variant.
pub(crate) fn field_name(ident: &Ident, own: &Serde, all: Option<Case>) -> String {
    let name = unraw(ident);
    own.rename
        .clone()
        .unwrap_or_else(|| all.map_or(name.clone(), |case| case.of_field(&name)))
}

/// The name of a variant on the wire.
pub(crate) fn variant_name(ident: &Ident, own: &Serde, all: Option<Case>) -> String {
    let name = unraw(ident);
    own.rename
        .clone()
        .unwrap_or_else(|| all.map_or(name.clone(), |case| case.of_variant(&name)))
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_ascii_uppercase().to_string() + chars.as_str()
    })
}

fn uncapitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_ascii_lowercase().to_string() + chars.as_str()
    })
}
