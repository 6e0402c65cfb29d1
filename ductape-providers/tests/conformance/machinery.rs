//! The machinery itself, with cases as another crate would write them.

use std::sync::Arc;
use std::time::Duration;

use ductape_providers::conformance::{
    Applies, Case, Context, Failure, Filter, Harness, Outcome, Wants, check, run, run_cases,
};
use ductape_providers::{AnyProvider, Error, ErrorKind, Outgoing, Result};
use futures_util::future::BoxFuture;

use crate::tiny::TinyHarness;

const fn case(
    id: &'static str,
    run: fn(Context) -> BoxFuture<'static, std::result::Result<(), Failure>>,
) -> Case {
    Case {
        id,
        name: "of_another_crate",
        group: "runtime",
        needs: |_| Applies::Runs,
        run,
        deadline: Duration::from_millis(200),
        wants: Wants::Broker,
    }
}

async fn one_message_arrives(context: Context) -> std::result::Result<(), Failure> {
    let (client, topic, _group, mut reader) = context.start().await?;
    client.publish(vec![Outgoing::new(topic, "one")]).await?;
    let came = reader.consume(1).await?;
    check!(came.len() == 1, "{} came", came.len());
    Ok(())
}

#[tokio::test]
async fn cases_of_another_crate_are_run_and_told_alike() {
    let cases = [
        case("R-001", |context| Box::pin(one_message_arrives(context))),
        case("R-002", |_| {
            Box::pin(async {
                check!(false, "attempt {} was not the last", 3);
                Ok(())
            })
        }),
        case("R-003", |_| Box::pin(async { panic!("a bug in the runtime") })),
        case("R-004", |_| Box::pin(std::future::pending())),
        Case {
            needs: |_| Applies::Refused {
                what: "replay",
                check: |_| Box::pin(async { Err(Failure::new("it was done all the same")) }),
            },
            ..case("R-005", |_| Box::pin(async { Ok(()) }))
        },
        Case {
            needs: |_| Applies::Refused {
                what: "replay",
                check: |_| Box::pin(async { Ok(()) }),
            },
            ..case("R-006", |_| Box::pin(async { panic!("it must not be run") }))
        },
    ];
    let report = run_cases(Arc::new(TinyHarness::new()), &cases, &Filter::all()).await;
    assert_eq!(report.counts(), (1, 1, 4), "{report}");
    let failures: Vec<String> = report.failures().collect();
    assert_eq!(failures[0], "R-002 of_another_crate: attempt 3 was not the last");
    assert!(failures[1].contains("R-003") && failures[1].contains("it panicked"));
    assert_eq!(failures[2], "R-004 of_another_crate: it did not end within 200ms");
    assert_eq!(
        failures[3],
        "R-005 of_another_crate: the capability has no `replay`, but it was done all the same"
    );
    assert_eq!(report.outcome("R-006"), Some(&Outcome::Unsupported("replay")));
}

struct Unreachable;

impl Harness for Unreachable {
    fn name(&self) -> &'static str {
        "unreachable"
    }

    fn connect(&self) -> BoxFuture<'_, Result<AnyProvider>> {
        Box::pin(async { Err(Error::new(ErrorKind::Unreachable, "no answer from 127.0.0.1:1")) })
    }
}

#[tokio::test]
async fn a_broker_that_can_t_be_reached_fails_every_case() {
    let report = run(Arc::new(Unreachable), &Filter::only(["publish"])).await;
    assert!(report.rows.len() > 10);
    assert_eq!(report.failures().count(), report.rows.len());
    assert!(report.to_string().contains("no answer from 127.0.0.1:1"));
}
