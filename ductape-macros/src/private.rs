use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;
use syn::ext::IdentExt as _;

use crate::attr::{Arg, Value};
use crate::ctxt::Ctxt;
use crate::manifest;

/// `::ductape_events::__private`: where generated code finds everything that it names.
#[derive(Clone)]
pub(crate) struct Private {
    root: Path,
}

impl Private {
    /// As the option `crate = …` says, else under the name that Cargo.toml gives the dependency.
    pub(crate) fn new(cx: &Ctxt, krate: Option<&Arg>) -> Self {
        let root = krate.and_then(|arg| Self::read(cx, arg));
        let root = root.unwrap_or_else(|| {
            let name = Ident::new(&manifest::crate_name(), Span::call_site());
            syn::parse_quote!(::#name)
        });
        Self { root }
    }

    fn read(cx: &Ctxt, arg: &Arg) -> Option<Path> {
        const EXAMPLE: &str = "write `crate = ::your_crate::ductape_events`";
        let Value::Is(tokens) = &arg.value else {
            cx.error(
                &arg.name,
                format!("`crate` takes the path of a re-export; {EXAMPLE}"),
            );
            return None;
        };
        let path = syn::parse2::<syn::LitStr>(tokens.clone())
            .and_then(|text| text.parse_with(Path::parse_mod_style));
        let path = path.or_else(|_| syn::parse::Parser::parse2(Path::parse_mod_style, tokens.clone()));
        let Ok(path) = path else {
            cx.error(
                tokens,
                format!("`crate` takes the path of a re-export; {EXAMPLE}"),
            );
            return None;
        };
        // serde and schemars take the path as text, in which `$crate` has no meaning.
        if path.segments.iter().any(|segment| segment.ident == "$crate") {
            cx.error(
                tokens,
                "`$crate` cannot stand in `crate = …`; write the name of the crate that re-exports",
            );
            return None;
        }
        Some(path)
    }

    /// The same path, as if it were written at `span`: an error in what it names is then reported there.
    pub(crate) fn at(&self, span: Span) -> Self {
        let mut root = self.root.clone();
        if let Some(colon) = &mut root.leading_colon {
            colon.spans = colon.spans.map(|old| old.located_at(span));
        }
        for segment in &mut root.segments {
            segment.ident.set_span(segment.ident.span().located_at(span));
        }
        Self { root }
    }

    /// The path of `name` within, as the text that `#[serde(crate = "…")]` takes.
    pub(crate) fn text(&self, name: &str) -> String {
        let mut text = String::new();
        for (at, segment) in self.root.segments.iter().enumerate() {
            if at > 0 || self.root.leading_colon.is_some() {
                text.push_str("::");
            }
            text.push_str(&segment.ident.to_string());
        }
        format!("{text}::__private::{name}")
    }
}

impl ToTokens for Private {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let root = &self.root;
        let span = root
            .segments
            .last()
            .map_or_else(Span::call_site, |segment| segment.ident.span());
        tokens.extend(quote_spanned!(span=> #root::__private));
    }
}

/// The name without `r#`.
pub(crate) fn unraw(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// A type as its source shows it.
pub(crate) fn type_text(ty: &impl ToTokens) -> String {
    let tokens: TokenStream = ty.to_token_stream();
    let text = tokens.to_string();
    text.replace(" :: ", "::")
        .replace(" < ", "<")
        .replace(" >", ">")
        .replace(" ,", ",")
        .replace("& ", "&")
}

/// An `Option` of what is written.
pub(crate) fn optional(value: Option<impl ToTokens>) -> TokenStream {
    value.map_or_else(
        || quote!(::core::option::Option::None),
        |value| quote!(::core::option::Option::Some(#value)),
    )
}
