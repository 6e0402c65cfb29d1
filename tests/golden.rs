//! What the macros write for typical inputs, kept under `golden/`.
//!
//! The sources of the macros are compiled in here, since a crate of macros exports nothing else.
//! `UPDATE_GOLDEN=1 cargo test -p ductape-tests --test golden` writes the files anew: read the difference.

#![allow(dead_code, unreachable_pub)] // not everything in the macros' sources is used here
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails where it unwraps

use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::{Attribute, Item};

#[path = "../ductape-macros/src/attr.rs"]
mod attr;
#[path = "../ductape-macros/src/consumer/mod.rs"]
mod consumer;
#[path = "../ductape-macros/src/ctxt.rs"]
mod ctxt;
#[path = "../ductape-macros/src/derives.rs"]
mod derives;
#[path = "../ductape-macros/src/duration.rs"]
mod duration;
#[path = "../ductape-macros/src/manifest/mod.rs"]
mod manifest;
#[path = "../ductape-macros/src/private.rs"]
mod private;
#[allow(dead_code)] // `#[payload]` uses more of it
#[path = "../ductape-macros/src/sensitive.rs"]
mod sensitive;
#[path = "../ductape-macros/src/suggest.rs"]
mod suggest;
#[path = "../ductape-macros/src/topic/mod.rs"]
mod topic;

#[test]
fn expansions_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut changed = Vec::new();
    let inputs = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = inputs
        .filter(|path| path.to_string_lossy().ends_with(".in.rs"))
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 8, "inputs are missing from {}", folder.display());
    for input in inputs {
        let name = input.file_name().unwrap().to_string_lossy().replace(".in.rs", "");
        let expanded = expanded(&fs::read_to_string(&input).unwrap());
        let kept = folder.join(format!("{name}.out.rs"));
        if update {
            fs::write(&kept, &expanded).unwrap();
        } else if fs::read_to_string(&kept).unwrap_or_default() != expanded {
            changed.push(format!("{name}:\n{expanded}"));
        }
    }
    assert!(
        changed.is_empty(),
        "these expand differently; if that is meant, run with UPDATE_GOLDEN=1:\n{}",
        changed.join("\n")
    );
}

/// The file with its `#[topic]` and `#[consumer]` expanded.
fn expanded(source: &str) -> String {
    let mut file = syn::parse_file(source).unwrap();
    let items = std::mem::take(&mut file.items);
    let tokens: TokenStream = items.into_iter().map(expanded_item).collect();
    prettyplease::unparse(&syn::parse2(tokens).unwrap())
}

fn expanded_item(mut item: Item) -> TokenStream {
    let attributes = match &mut item {
        Item::Struct(item) => &mut item.attrs,
        Item::Enum(item) => &mut item.attrs,
        Item::Fn(item) => &mut item.attrs,
        _ => return item.into_token_stream(),
    };
    let is_ours = |attribute: &Attribute| {
        ["topic", "consumer"]
            .iter()
            .any(|name| attribute.path().is_ident(name))
    };
    let at = attributes
        .iter()
        .position(is_ours)
        .expect("an item without our attribute");
    let attribute = attributes.remove(at);
    let arguments = match &attribute.meta {
        syn::Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    let item = item.into_token_stream();
    if attribute.path().is_ident("topic") {
        topic::topic(arguments, &item)
    } else {
        consumer::consumer(arguments, &item)
    }
}
