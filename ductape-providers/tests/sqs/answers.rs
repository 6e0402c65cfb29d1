//! Answers that no stand-in gives, and requests as they are sent: a server of the tests' own stands in.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ductape_providers::config::ProviderConfig;
use ductape_providers::{ErrorKind, Outgoing, PublishSlot};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::{connect, publish, shape, unique};

/// A request: its operation, its headers, its body.
#[derive(Clone, Debug)]
struct Asked {
    operation: String,
    headers: String,
    body: String,
}

type Answer = (u16, String);

/// Answers every request as `answer` says, and keeps what was asked.
async fn stand_in(
    answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Asked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&answer)));
        }
    });
    (endpoint, asked)
}

async fn serve(
    stream: TcpStream,
    kept: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<impl Fn(&Asked) -> Answer + Send + Sync + 'static>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut headers, mut line) = (String::new(), String::new());
        while stream.read_line(&mut line).await.ok()? > 2 {
            headers.push_str(&line);
            line.clear();
        }
        if headers.is_empty() {
            return None;
        }
        let header = |name: &str| {
            let lines = headers.lines().filter_map(|line| line.split_once(": "));
            let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.to_owned())
        };
        let mut body = vec![0; header("content-length").map_or(0, |len| len.parse().unwrap())];
        stream.read_exact(&mut body).await.ok()?;
        let target = header("x-amz-target").unwrap_or_default();
        let asked = Asked {
            operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
            headers,
        };
        let (status, text) = answer(&asked);
        kept.lock().unwrap().push(asked);
        let head = format!(
            "HTTP/1.1 {status} Answer\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
    }
}

fn refused(status: u16, code: &str) -> Answer {
    let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "told to CANARY"});
    (status, body.to_string())
}

fn no_such_queue() -> Answer {
    refused(400, "QueueDoesNotExist")
}

#[tokio::test]
async fn keys_token_and_region_go_with_each_request() {
    let (endpoint, asked) = stand_in(|_| no_such_queue()).await;
    let more = json!({"accessKeyId": "AKIDTEST", "sessionToken": "T0KEN", "region": "eu-south-2"});
    connect(&endpoint, &more).await.unwrap();
    let headers = asked.lock().unwrap()[0].headers.clone();
    for part in [
        "Credential=AKIDTEST/",
        "/eu-south-2/sqs/",
        "x-amz-security-token: T0KEN",
    ] {
        assert!(headers.contains(part), "{part} is not in {headers}");
    }
    assert!(!headers.contains("secretAccessKey"));
}

#[tokio::test]
async fn keys_that_are_refused_are_told_from_those_that_may_not() {
    for (code, step) in [
        ("InvalidClientTokenId", "authenticate"),
        ("SignatureDoesNotMatch", "authenticate"),
        ("ExpiredToken", "authenticate"),
        ("AccessDenied", "authorize"),
    ] {
        let (endpoint, asked) = stand_in(move |_| refused(403, code)).await;
        let config = ProviderConfig::from_value(&shape(&endpoint, &json!({}))).unwrap();
        let report = config.test_connection().await;
        assert_eq!(report.failed_step(), Some(step), "{code}: {report}");
        assert!(report.to_string().contains(code), "{report}");
        assert!(!format!("{report}").contains("CANARY"), "{report}");
        let connected = config.connect().await;
        if step == "authorize" {
            // A program with few permissions runs all the same.
            connected.unwrap();
            continue;
        }
        let error = connected.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Unauthorized, false),
            "{error}"
        );
        let tried = asked.lock().unwrap().len();
        assert!(tried <= 2, "{tried} requests with keys that were refused");
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told_from_a_port_where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (endpoint, more, step) in [
        (closed.as_str(), json!({}), "connect"),
        ("https://sqs.no-such-region.invalid", json!({}), "resolve"),
    ] {
        let config = ProviderConfig::from_value(&shape(endpoint, &more)).unwrap();
        let report = config.test_connection().await;
        assert_eq!(report.failed_step(), Some(step), "{report}");
        let error = config.connect().await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_sqs_or_never_answers_is_told_in_time() {
    let (endpoint, _) = stand_in(|_| (200, "<html>hello</html>".to_owned())).await;
    let error = connect(&endpoint, &json!({})).await.unwrap_err();
    assert!(error.to_string().contains("not SQS"), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let answer = tokio::time::timeout(Duration::from_secs(5), connect(&endpoint, &json!({}))).await;
    let error = answer.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Timeout, true),
        "{error}"
    );
}

/// The ids of a batch's entries.
fn ids(asked: &Asked) -> Vec<String> {
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let entries = body["Entries"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["Id"].as_str().unwrap().to_owned())
        .collect()
}

fn sent(ids: &[String]) -> Value {
    let sent = |id: &String| json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "0"});
    ids.iter().map(sent).collect()
}

#[tokio::test]
async fn single_publishes_side_by_side_leave_in_batches_of_ten() {
    let (endpoint, asked) = stand_in(|asked| match asked.operation.as_str() {
        "SendMessageBatch" => (
            200,
            json!({"Successful": sent(&ids(asked)), "Failed": []}).to_string(),
        ),
        _ => no_such_queue(),
    })
    .await;
    let topic = unique("gathered");
    let given = json!({"declare": "off", "queueUrls": {(topic.event().topic()): "http://localhost/1/q"}});
    let provider = connect(&endpoint, &given).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (provider, message) = (Arc::clone(&provider), Outgoing::new(topic.clone(), n.to_string()));
        running.spawn(async move { publish(&provider, message).await });
    }
    for published in running.join_all().await {
        published.unwrap();
    }
    let batches: Vec<usize> = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|asked| asked.operation == "SendMessageBatch")
        .map(|asked| ids(asked).len())
        .collect();
    assert_eq!(batches.iter().sum::<usize>(), 200);
    assert!(
        batches.iter().all(|len| *len <= 10) && batches.len() <= 40,
        "{batches:?}"
    );
}

#[tokio::test]
async fn each_entry_of_a_batch_has_its_own_answer() {
    let (endpoint, _) = stand_in(|asked| {
        if asked.operation != "SendMessageBatch" {
            return no_such_queue();
        }
        let failed = |id: &str, code: &str, fault: bool| json!({"Id": id, "Code": code, "SenderFault": fault, "Message": "no"});
        let ids = ids(asked);
        let failed = json!([failed(&ids[1], "InternalError", false), failed(&ids[2], "InvalidMessageContents", true)]);
        // The fourth is in neither list.
        (200, json!({"Successful": sent(&ids[..1]), "Failed": failed}).to_string())
    })
    .await;
    let topic = unique("each");
    let given = json!({"declare": "off", "queueUrls": {(topic.event().topic()): "http://localhost/1/q"}});
    let provider = connect(&endpoint, &given).await.unwrap();
    let messages = (0..4).map(|n| PublishSlot::new(Outgoing::new(topic.clone(), n.to_string())));
    let mut slots: Vec<PublishSlot> = messages.collect();
    provider.publish_dyn(&mut slots).await;
    let told: Vec<Option<(ErrorKind, bool, bool)>> = slots
        .into_iter()
        .map(|slot| slot.outcome.unwrap().err())
        .map(|error| error.map(|error| (error.kind(), error.is_temporary(), error.is_indeterminate())))
        .collect();
    assert_eq!(told[0], None);
    assert_eq!(told[1], Some((ErrorKind::Unreachable, true, false)));
    assert_eq!(told[2], Some((ErrorKind::Unexpected, false, false)));
    assert_eq!(told[3], Some((ErrorKind::Unexpected, true, true)));
}
