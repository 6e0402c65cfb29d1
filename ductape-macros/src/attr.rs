//! What stands in the parentheses of an attribute: values by position, flags, `key = value`, and `key(list)`.
//!
//! Reading it never fails, so that a slip in one option does not hide those in others: what an option is given is kept
//! as tokens until it is asked for as a text, a number, a duration.

use std::ops::RangeInclusive;
use std::time::Duration;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use syn::LitStr;

use crate::ctxt::Ctxt;
use crate::duration;
use crate::suggest::{did_you_mean, listed};

/// The arguments of an attribute.
pub(crate) struct Args {
    pub(crate) positional: Vec<TokenStream>,
    pub(crate) named: Vec<Arg>,
}

/// One named argument.
#[derive(Clone)]
pub(crate) struct Arg {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

#[derive(Clone)]
pub(crate) enum Value {
    /// The name alone.
    Flag,
    /// `= tokens`.
    Is(TokenStream),
    /// `(tokens)`.
    List(Group),
}

impl Args {
    /// Splits `tokens` at its commas.
    pub(crate) fn read(tokens: TokenStream) -> Self {
        let mut args = Self {
            positional: Vec::new(),
            named: Vec::new(),
        };
        let mut one = Vec::new();
        for tree in tokens {
            if matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == ',') {
                args.push(&one);
                one.clear();
            } else {
                one.push(tree);
            }
        }
        args.push(&one);
        args
    }

    fn push(&mut self, trees: &[TokenTree]) {
        match trees {
            [] => {}
            [TokenTree::Ident(name)] => self.named.push(Arg {
                name: name.clone(),
                value: Value::Flag,
            }),
            [TokenTree::Ident(name), TokenTree::Punct(punct), value @ ..] if punct.as_char() == '=' => {
                let value = Value::Is(value.iter().cloned().collect());
                self.named.push(Arg {
                    name: name.clone(),
                    value,
                });
            }
            [TokenTree::Ident(name), TokenTree::Group(group)]
                if group.delimiter() == Delimiter::Parenthesis =>
            {
                self.named.push(Arg {
                    name: name.clone(),
                    value: Value::List(group.clone()),
                });
            }
            _ => self.positional.push(trees.iter().cloned().collect()),
        }
    }
}

/// The named arguments of one attribute or list, each taken by its name.
pub(crate) struct Options<'a> {
    cx: &'a Ctxt,
    args: Vec<Arg>,
}

impl<'a> Options<'a> {
    /// Reports what is given twice and what is not in `known`. `of` names the attribute; `elsewhere` says of names that
    /// belong to another place what to write.
    pub(crate) fn new(
        cx: &'a Ctxt,
        of: &str,
        named: &[Arg],
        known: &[&str],
        elsewhere: &[(&str, &str)],
    ) -> Self {
        let mut args: Vec<Arg> = Vec::new();
        for arg in named {
            let name = arg.name.to_string();
            if args.iter().any(|other| other.name == name) {
                cx.error(
                    &arg.name,
                    format!("option `{name}` is given twice; leave one of them out"),
                );
            } else if known.contains(&name.as_str()) {
                args.push(arg.clone());
            } else if let Some((_, hint)) = elsewhere.iter().find(|(other, _)| *other == name) {
                cx.error(&arg.name, format!("`{name}` is no option of {of}; {hint}"));
            } else {
                let meant = did_you_mean(&name, known.iter().copied());
                let meant = meant.map_or(String::new(), |meant| format!(" did you mean `{meant}`?"));
                let known = listed(known.iter().copied());
                cx.error(
                    &arg.name,
                    format!("unknown option `{name}` of {of};{meant} known options: {known}"),
                );
            }
        }
        Self { cx, args }
    }

    pub(crate) fn arg(&self, name: &str) -> Option<&Arg> {
        self.args.iter().find(|arg| arg.name == name)
    }

    /// Where the option stands; the macro's call where it does not.
    pub(crate) fn span(&self, name: &str) -> Span {
        self.arg(name).map_or_else(Span::call_site, |arg| arg.name.span())
    }

    /// What follows `name =`. `example` shows a whole option.
    pub(crate) fn tokens(&self, name: &str, what: &str, example: &str) -> Option<&TokenStream> {
        let arg = self.arg(name)?;
        match &arg.value {
            Value::Is(tokens) if !tokens.is_empty() => Some(tokens),
            _ => {
                self.cx
                    .error(&arg.name, format!("`{name}` takes {what}; write `{example}`"));
                None
            }
        }
    }

    /// A text.
    pub(crate) fn text(&self, name: &str, what: &str, example: &str) -> Option<LitStr> {
        let tokens = self.tokens(name, what, example)?;
        if self.has_no_comma(tokens, name) {
            return None;
        }
        let text = syn::parse2::<LitStr>(tokens.clone());
        if text.is_err() {
            self.cx
                .error(tokens, format!("`{name}` takes {what}; write `{example}`"));
        }
        text.ok()
    }

    /// A whole number within `range`.
    pub(crate) fn number(&self, name: &str, range: RangeInclusive<u64>, example: &str) -> Option<u64> {
        let what = "a whole number";
        let tokens = self.tokens(name, what, example)?;
        if self.has_no_comma(tokens, name) {
            return None;
        }
        let (least, most) = (range.start(), range.end());
        let outside = |shown: &dyn std::fmt::Display| {
            self.cx.error(
                tokens,
                format!("`{name} = {shown}` is out of range; it must be from {least} to {most}"),
            );
        };
        let is_negative = tokens.to_string().trim_start().starts_with('-');
        match syn::parse2::<syn::LitInt>(tokens.clone()) {
            Ok(literal) => match literal.base10_parse::<u64>() {
                Ok(number) if range.contains(&number) => return Some(number),
                _ => outside(&literal),
            },
            Err(_) if is_negative => outside(&tokens.to_string().replace(' ', "")),
            Err(_) => self
                .cx
                .error(tokens, format!("`{name}` takes {what}; write `{example}`")),
        }
        None
    }

    /// `name`, `name = true` or `name = false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let Some(arg) = self.arg(name) else { return false };
        let wrong = "write the name alone, or `= true` or `= false` after it";
        let tokens = match &arg.value {
            Value::Flag => return true,
            Value::Is(tokens) => tokens,
            Value::List(group) => {
                self.cx.error(group, format!("`{name}` is on or off; {wrong}"));
                return false;
            }
        };
        if let Ok(value) = syn::parse2::<syn::LitBool>(tokens.clone()) {
            return value.value;
        }
        if !self.has_no_comma(tokens, name) {
            let at = if tokens.is_empty() {
                arg.name.span()
            } else {
                span_of(tokens)
            };
            self.cx.error_at(at, format!("`{name}` is on or off; {wrong}"));
        }
        false
    }

    /// A duration, as in `200ms`.
    pub(crate) fn duration(&self, name: &str, example: &str) -> Option<Duration> {
        let text = self.text(name, "a duration in quotes", example)?;
        match duration::parse(&text.value()) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.cx.error(&text, message);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice(&self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let choices: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let choices = choices.join(" or ");
        let text = self.text(name, &choices, &format!("{name} = \"{}\"", words[0]))?;
        let value = text.value();
        let known = words.iter().copied().find(|word| *word == value);
        if known.is_none() {
            let meant = did_you_mean(&value, words.iter().copied());
            let meant = meant.map_or(String::new(), |meant| format!(" did you mean \"{meant}\"?"));
            self.cx.error(
                &text,
                format!("`{name} = {value:?}` is unknown;{meant} it takes {choices}"),
            );
        }
        known
    }

    /// The options within `name(…)`.
    pub(crate) fn list(&self, name: &str, example: &str) -> Option<&Group> {
        let arg = self.arg(name)?;
        if let Value::List(group) = &arg.value {
            return Some(group);
        }
        self.cx.error(
            &arg.name,
            format!("`{name}` takes a list in parentheses; write `{example}`"),
        );
        None
    }

    /// Whether a value runs on into the next option; reported here.
    fn has_no_comma(&self, tokens: &TokenStream, name: &str) -> bool {
        let mut trees = tokens.clone().into_iter();
        let (first, second) = (trees.next(), trees.next());
        let is_value = matches!(first, Some(TokenTree::Literal(_) | TokenTree::Ident(_)));
        let Some(TokenTree::Ident(next)) = second.filter(|_| is_value) else {
            return false;
        };
        self.cx.error(
            &next,
            format!("there is no `,` between the value of `{name}` and `{next}`"),
        );
        true
    }
}

/// The first token's span.
pub(crate) fn span_of(tokens: &TokenStream) -> Span {
    tokens
        .clone()
        .into_iter()
        .next()
        .map_or_else(Span::call_site, |tree| tree.span())
}
