//! What `ductape` is asked.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command as Parser, value_parser};
use ductape_events::store::StoreUrl;

/// What `ductape` is asked.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// Where the store is.
    pub(crate) store: String,
    /// The keys of sealed payloads and secrets.
    pub(crate) keys: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) environment: String,
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Topics,
    AsyncApi,
    Schemas { out: PathBuf },
}

impl Arguments {
    /// Those of this process. What is wrong with them is printed, and ends it.
    pub(crate) fn read() -> Self {
        Self::of(&parser().get_matches())
    }

    fn of(matches: &ArgMatches) -> Self {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        Self {
            store: text("store")
                .unwrap_or_else(|| variable("DUCTAPE_STORE").unwrap_or_else(|| StoreUrl::DEFAULT.to_owned())),
            keys: variable("DUCTAPE_STORE_KEY"),
            product: text("product").or_else(|| variable("DUCTAPE_PRODUCT")),
            environment: text("environment")
                .or_else(|| variable("DUCTAPE_ENV"))
                .unwrap_or_else(|| "dev".to_owned()),
            command: match matches.subcommand() {
                Some(("asyncapi", _)) => Command::AsyncApi,
                Some(("schemas", matches)) => Command::Schemas {
                    out: matches.get_one("out").cloned().unwrap_or_default(),
                },
                _ => Command::Topics,
            },
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn parser() -> Parser {
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).global(true).help(help);
    let out = Arg::new("out")
        .required(true)
        .value_name("FOLDER")
        .value_parser(value_parser!(PathBuf))
        .help("Where BROKER/TOPIC.vN.schema.json are written");
    Parser::new("ductape")
        .about("What programs have registered in their store. Nothing is changed, and no broker is asked.")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(
            option(
                "store",
                "sqlite:FILE or postgres://…; DUCTAPE_STORE, or sqlite:.ductape/store.db, when left out",
            )
            .value_name("URL"),
        )
        .arg(option("product", "DUCTAPE_PRODUCT when left out"))
        .arg(option("environment", "DUCTAPE_ENV, or dev, when left out"))
        .subcommand(Parser::new("topics").about("Lists the topics: event, version, name"))
        .subcommand(
            Parser::new("asyncapi")
                .about("Prints one AsyncAPI 3.0 document of all topics, consumers and brokers"),
        )
        .subcommand(
            Parser::new("schemas")
                .about("Writes the JSON Schema of each topic, for generators of types")
                .arg(out),
        )
}

#[cfg(test)]
mod tests {
    use super::parser;

    #[test]
    fn the_arguments_are_consistent() {
        parser().debug_assert();
    }
}
