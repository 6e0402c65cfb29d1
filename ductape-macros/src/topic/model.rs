use proc_macro2::Span;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Ident, Index, Lit, LitStr, Member, Meta, Path, Token, Type};

use ductape_schema::EventName;

use super::parse::TopicInput;
use super::sample::SampleModel;
use super::serde::Serde;
use crate::attr::Options;
use crate::ctxt::Ctxt;
use crate::private::{Private, unraw};

const OPTIONS: &[&str] = &[
    "key",
    "version",
    "name",
    "compatibility",
    "portable",
    "instances",
    "manual",
    "crate",
];

const ELSEWHERE: &[(&str, &str)] = &[
    (
        "topic",
        "write the event's name first: `#[topic(\"order-events:order-created\")]`",
    ),
    (
        "event",
        "write the event's name first: `#[topic(\"order-events:order-created\")]`",
    ),
    ("title", "write `name = \"…\"`"),
    ("description", "write it as the documentation comment of the type"),
    ("group", "it belongs to the `#[consumer]`"),
    ("retry", "it belongs to the `#[consumer]`"),
    ("sample", "write `#[sample(…)]` above the field"),
];

/// What a `#[topic]` means.
pub(crate) struct TopicModel<'a> {
    pub(crate) input: &'a TopicInput,
    pub(crate) private: Private,
    /// Empty when it was reported.
    pub(crate) event: String,
    pub(crate) version: u32,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) key: Vec<Member>,
    pub(crate) compatibility: Option<&'static str>,
    pub(crate) portable: bool,
    /// Where `instances(…)` stands, and what it lists.
    pub(crate) instances: Option<(Span, Vec<Instance>)>,
    pub(crate) derives: Derives,
    pub(crate) serde: Serde,
    pub(crate) sample: SampleModel,
}

/// One of `instances(Type, Type = "broker:topic")`.
pub(crate) struct Instance {
    pub(crate) ty: Type,
    pub(crate) event: Option<LitStr>,
}

impl<'a> TopicModel<'a> {
    pub(crate) fn build(cx: &Ctxt, input: &'a TopicInput) -> Self {
        let options = Options::new(cx, "#[topic]", &input.args.named, OPTIONS, ELSEWHERE);
        let private = Private::new(cx, options.arg("crate"));
        let version = options.number("version", 1..=u64::from(u32::MAX), "version = 2");
        let title = options.text("name", "a text in quotes", "name = \"Order Created\"");
        if let Some(title) = title.as_ref().filter(|title| title.value().trim().is_empty()) {
            cx.error(
                title,
                "the name is empty; leave `name` out to take the type's name",
            );
        }
        let title = title.map_or_else(|| words(&unraw(&input.ident)), |title| title.value());
        let serde = Serde::read(&input.attributes, "serde");
        Self {
            input,
            event: event(cx, input),
            version: version
                .and_then(|version| u32::try_from(version).ok())
                .unwrap_or(1),
            title,
            description: documentation(&input.attributes),
            key: key(cx, &options),
            compatibility: options.choice("compatibility", &["backward", "forward", "full", "none"]),
            portable: options.flag("portable"),
            instances: instances(cx, &options),
            derives: Derives::read(cx, input, &options),
            sample: SampleModel::build(cx, &input.shape, &serde),
            serde,
            private,
        }
    }
}

impl TopicModel<'_> {
    /// The events of the topic or of its instances, and where their names are written.
    pub(crate) fn events(&self) -> Vec<(String, Span)> {
        let first = self.input.args.positional.first();
        let own = (
            self.event.clone(),
            first.map_or_else(Span::call_site, Spanned::span),
        );
        let Some((_, instances)) = &self.instances else {
            return vec![own];
        };
        let named = instances.iter().map(|instance| match &instance.event {
            Some(event) => (event.value(), event.span()),
            None => own.clone(),
        });
        named.collect()
    }
}

/// The name of the event, which stands first.
fn event(cx: &Ctxt, input: &TopicInput) -> String {
    let type_words = words(&unraw(&input.ident)).to_lowercase().replace(' ', "-");
    let example = format!("write `#[topic(\"your-broker:{type_words}\")]`");
    let Some((first, others)) = input.args.positional.split_first() else {
        cx.error_at(
            Span::call_site(),
            format!("#[topic] needs the name of the event; {example}"),
        );
        return String::new();
    };
    for other in others {
        cx.error(
            other,
            "this is no option; known options are written `name = value`",
        );
    }
    let Ok(name) = syn::parse2::<LitStr>(first.clone()) else {
        cx.error(
            first,
            format!("the name of the event is a text in quotes; {example}"),
        );
        return String::new();
    };
    event_name(cx, &name)
}

fn event_name(cx: &Ctxt, name: &LitStr) -> String {
    match EventName::check(&name.value()) {
        Ok(_) => name.value(),
        Err(error) => {
            cx.error(name, error);
            String::new()
        }
    }
}

/// The members that `key = a`, `key = 0` or `key = (a, b)` names.
fn key(cx: &Ctxt, options: &Options<'_>) -> Vec<Member> {
    const WHAT: &str = "the name of a field";
    const EXAMPLE: &str = "key = order_id";
    let Some(tokens) = options.tokens("key", WHAT, EXAMPLE) else {
        return Vec::new();
    };
    let Ok(expression) = syn::parse2::<Expr>(tokens.clone()) else {
        cx.error(tokens, format!("`key` takes {WHAT}; write `{EXAMPLE}`"));
        return Vec::new();
    };
    match &expression {
        Expr::Tuple(tuple) if tuple.elems.is_empty() => {
            cx.error(
                tuple,
                format!("`key` names no field; write `{EXAMPLE}`, or leave it out"),
            );
            Vec::new()
        }
        Expr::Tuple(tuple) => tuple.elems.iter().filter_map(|part| member(cx, part)).collect(),
        Expr::Paren(paren) => member(cx, &paren.expr).into_iter().collect(),
        other => member(cx, other).into_iter().collect(),
    }
}

fn member(cx: &Ctxt, expression: &Expr) -> Option<Member> {
    match expression {
        Expr::Path(path) => {
            if let Some(ident) = path.path.get_ident() {
                return Some(Member::Named(ident.clone()));
            }
        }
        Expr::Lit(ExprLit {
            lit: Lit::Int(index), ..
        }) => {
            if let Ok(index) = index.base10_parse() {
                return Some(Member::Unnamed(Index {
                    index,
                    span: expression.span(),
                }));
            }
        }
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => {
            let text_value = text.value();
            let message =
                format!("`key` takes the name of a field without quotes; write `key = {text_value}`");
            cx.error(text, message);
            return None;
        }
        Expr::Field(_) => {
            let message =
                "`key` takes a field of the topic itself; repeat the inner value in a field of its own";
            cx.error(expression, message);
            return None;
        }
        _ => {}
    }
    cx.error(
        expression,
        "`key` takes the name of a field; write `key = order_id`",
    );
    None
}

impl Parse for Instance {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ty = input.parse()?;
        let has_name = input.parse::<Option<Token![=]>>()?.is_some();
        let event = if has_name { Some(input.parse()?) } else { None };
        Ok(Self { ty, event })
    }
}

fn instances(cx: &Ctxt, options: &Options<'_>) -> Option<(Span, Vec<Instance>)> {
    let example = "instances(OrderCreated<Usd>, OrderCreated<Eur> = \"order-events:order-created-eur\")";
    let group = options.list("instances", example)?;
    let span = options.span("instances");
    let parser = Punctuated::<Instance, Token![,]>::parse_terminated;
    let list = match syn::parse::Parser::parse2(parser, group.stream()) {
        Ok(list) => list,
        Err(error) => {
            cx.push(error);
            return Some((span, Vec::new()));
        }
    };
    for instance in &list {
        if let Some(event) = &instance.event {
            event_name(cx, event);
        }
    }
    Some((span, list.into_iter().collect()))
}

/// Which of the three traits are derived by the user, which by us.
pub(crate) struct Derives {
    /// What is to be added.
    pub(crate) missing: Vec<&'static str>,
    pub(crate) manual: Vec<&'static str>,
}

impl Derives {
    pub(crate) const TRAITS: [&'static str; 3] = ["Serialize", "Deserialize", "JsonSchema"];

    fn read(cx: &Ctxt, input: &TopicInput, options: &Options<'_>) -> Self {
        let example = "manual(JsonSchema)";
        let mut manual = Vec::new();
        if let Some(list) = options.list("manual", example) {
            let parser = Punctuated::<Path, Token![,]>::parse_terminated;
            match syn::parse::Parser::parse2(parser, list.stream()) {
                Ok(paths) => {
                    for path in &paths {
                        match Self::TRAITS.into_iter().find(|name| last_is(path, name)) {
                            Some(name) => manual.push((name, path.span())),
                            None => cx.error(
                                path,
                                "`manual` names traits that you implement by hand: `Serialize`, `Deserialize` or \
                                 `JsonSchema`",
                            ),
                        }
                    }
                }
                Err(error) => cx.push(error),
            }
        }
        let derived = derived(&input.attributes);
        for (name, span) in &manual {
            if derived.iter().any(|path| last_is(path, name)) {
                let message = format!("`{name}` is derived below; leave the derive out, or `manual({name})`");
                cx.error_at(*span, message);
            }
        }
        let manual: Vec<_> = manual.into_iter().map(|(name, _)| name).collect();
        let is_missing =
            |name: &&str| !manual.contains(name) && !derived.iter().any(|path| last_is(path, name));
        Self {
            missing: Self::TRAITS.into_iter().filter(is_missing).collect(),
            manual,
        }
    }

    /// Whether the trait is derived, by the user or by us.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.manual.contains(&name)
    }
}

/// The paths in the derives below the attribute. What stands in a `cfg_attr` is decided before it is seen here.
pub(crate) fn derived(attributes: &[Attribute]) -> Vec<Path> {
    let mut paths = Vec::new();
    let parser = Punctuated::<Path, Token![,]>::parse_terminated;
    for attribute in attributes {
        if attribute.path().is_ident("derive") {
            paths.extend(attribute.parse_args_with(parser).into_iter().flatten());
        }
    }
    paths
}

pub(crate) fn last_is(path: &Path, name: &str) -> bool {
    // rkyv's traits have serde's names.
    let other = path.segments.first().is_some_and(|first| first.ident == "rkyv");
    !other && path.segments.last().is_some_and(|last| last.ident == name)
}

/// The documentation comment, without the blank that each line begins with.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    };
    let lines = attributes.iter().filter_map(line);
    let lines: Vec<String> = lines
        .map(|text| text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// `OrderCreated` as `Order Created`, `HTTPRequest2` as `HTTP Request2`.
pub(crate) fn words(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut words = String::new();
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| chars[before]);
        let begins = before.is_some_and(|before| {
            let after_lower = before.is_lowercase() || before.is_ascii_digit();
            let last_of_acronym =
                before.is_uppercase() && chars.get(at + 1).is_some_and(|next| next.is_lowercase());
            c.is_uppercase() && (after_lower || last_of_acronym)
        });
        if c == '_' || begins {
            words.push(' ');
        }
        if c != '_' {
            words.push(c);
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The key's members as text, as they are on the wire where they have names.
pub(crate) fn member_ident(member: &Member) -> Option<&Ident> {
    match member {
        Member::Named(ident) => Some(ident),
        Member::Unnamed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_type_name_becomes_words() {
        for (name, expected) in [
            ("OrderCreated", "Order Created"),
            ("Order", "Order"),
            ("HTTPRequest2Done", "HTTP Request2 Done"),
            ("Order_Created", "Order Created"),
            ("order", "order"),
            ("A", "A"),
        ] {
            assert_eq!(words(name), expected);
        }
    }
}
