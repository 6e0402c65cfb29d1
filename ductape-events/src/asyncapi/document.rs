//! The document.

use std::collections::BTreeMap;

use ductape_providers::TopicName;
use serde_json::{Map, Value, json};

use super::draft_07;
use super::server::{Header, Server};

/// The attributes of `CloudEvents` that each message has; of `subject` and `dataschema` only where there are any.
const REQUIRED: [&str; 5] = ["specversion", "id", "source", "type", "time"];
const OPTIONAL: [&str; 2] = ["subject", "dataschema"];

/// What the document is about.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) description: String,
}

/// A topic.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) topic: TopicName,
    /// Its name on the broker.
    pub(crate) address: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) schema: Option<Value>,
    pub(crate) sample: Option<Value>,
    pub(crate) key: Option<String>,
    /// Whether it is produced, as far as is known.
    pub(crate) is_produced: bool,
    pub(crate) groups: Vec<Group>,
}

/// Who consumes a topic.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) consumer: String,
}

impl Channel {
    /// What it is called in the document.
    fn id(&self) -> String {
        let (event, version) = (self.topic.event(), self.topic.version().get());
        let name = format!("{}.{}", event.broker(), event.topic());
        if version > 1 {
            format!("{name}.v{version}")
        } else {
            name
        }
    }
}

/// The document of these channels on these servers.
pub(crate) fn document(info: &Info, servers: &[Server], channels: &[Channel]) -> Value {
    let by_tag: BTreeMap<&str, &Server> = servers
        .iter()
        .map(|server| (server.tag.as_str(), server))
        .collect();
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": { "title": info.title, "version": info.version },
        "defaultContentType": "application/json",
    });
    if !info.description.is_empty() {
        document["info"]["description"] = info.description.as_str().into();
    }
    let (mut listed, mut operations) = (Map::new(), Map::new());
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    for channel in channels {
        let id = channel.id();
        let server = by_tag.get(channel.topic.event().broker()).copied();
        listed.insert(id.clone(), listed_channel(channel, &id, server));
        messages.insert(id.clone(), message(channel, &id, server));
        if let Some(schema) = &channel.schema {
            schemas.extend(draft_07::schemas(&id, schema));
        }
        operations_of(channel, &id, server, &mut operations);
    }
    let security: Map<String, Value> = servers
        .iter()
        .filter_map(|server| Some((server.tag.clone(), server.security.clone()?)))
        .collect();
    document["servers"] = Value::Object(servers.iter().map(listed_server).collect());
    document["channels"] = Value::Object(listed);
    document["operations"] = Value::Object(operations);
    document["components"] = json!({ "messages": messages, "schemas": schemas, "securitySchemes": security });
    document
}

fn listed_server(server: &Server) -> (String, Value) {
    let mut listed = json!({ "host": server.host, "protocol": server.protocol });
    if let Some(pathname) = &server.pathname {
        listed["pathname"] = pathname.as_str().into();
    }
    if server.security.is_some() {
        listed["security"] = json!([reference(&["components", "securitySchemes", &server.tag])]);
    }
    (server.tag.clone(), listed)
}

fn listed_channel(channel: &Channel, id: &str, server: Option<&Server>) -> Value {
    let mut listed = json!({
        "address": channel.address,
        "title": channel.title,
        "messages": { id: reference(&["components", "messages", id]) },
    });
    if !channel.description.is_empty() {
        listed["description"] = channel.description.as_str().into();
    }
    let Some(server) = server else { return listed };
    listed["servers"] = json!([reference(&["servers", &server.tag])]);
    let address = channel.address.as_str();
    // <https://github.com/asyncapi/bindings>; NATS and Redis have none for channels, and
    // that of SQS describes one queue, where a topic has one for each group.
    let binding = match server.protocol {
        "kafka" | "kafka-secure" => Some(("kafka", json!({ "topic": address, "bindingVersion": "0.5.0" }))),
        "amqp" | "amqps" => {
            let vhost = server.pathname.as_deref().and_then(|path| path.strip_prefix('/'));
            let exchange = json!({
                "name": channel.topic.event().broker(), "type": "direct", "durable": true, "autoDelete": false,
                "vhost": vhost.unwrap_or("/"),
            });
            Some((
                "amqp",
                json!({ "is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0" }),
            ))
        }
        _ => None,
    };
    if let Some((name, binding)) = binding {
        listed["bindings"] = json!({ name: binding });
    }
    listed
}

fn message(channel: &Channel, id: &str, server: Option<&Server>) -> Value {
    let mut message = json!({
        "name": channel.topic.event().as_str(),
        "title": channel.title,
        "contentType": "application/json",
    });
    if channel.schema.is_some() {
        message["payload"] = reference(&["components", "schemas", id]);
    }
    if let Some(sample) = &channel.sample {
        message["examples"] = json!([{ "name": "sample", "payload": sample }]);
    }
    let header = server.map_or(Header::Prefixed("ce-"), |server| server.header);
    if let Header::Prefixed(prefix) = header {
        let name = |attribute: &str| format!("{prefix}{attribute}");
        let all = REQUIRED.iter().chain(&OPTIONAL);
        let properties: Map<String, Value> =
            all.map(|one| (name(one), json!({ "type": "string" }))).collect();
        let required: Vec<String> = REQUIRED.iter().map(|one| name(one)).collect();
        message["headers"] = json!({ "type": "object", "properties": properties, "required": required });
    }
    if let (Some(key), Some(server)) = (&channel.key, server)
        && server.protocol.starts_with("kafka")
    {
        let key = json!({ "type": "string", "description": format!("The event's {key}.") });
        message["bindings"] = json!({ "kafka": { "key": key, "bindingVersion": "0.5.0" } });
    }
    message
}

fn operations_of(channel: &Channel, id: &str, server: Option<&Server>, operations: &mut Map<String, Value>) {
    let operation = |action: &str, summary: String| {
        json!({
            "action": action,
            "summary": summary,
            "channel": reference(&["channels", id]),
            "messages": [reference(&["channels", id, "messages", id])],
        })
    };
    if channel.is_produced {
        let summary = format!("Produces {}.", channel.topic.event());
        operations.insert(format!("send.{id}"), operation("send", summary));
    }
    for group in &channel.groups {
        let summary = format!(
            "`{}` consumes {} in group `{}`.",
            group.consumer,
            channel.topic.event(),
            group.name
        );
        let mut receive = operation("receive", summary);
        if server.is_some_and(|server| server.protocol.starts_with("kafka")) {
            let id = json!({ "type": "string", "const": group.name });
            receive["bindings"] = json!({ "kafka": { "groupId": id, "bindingVersion": "0.5.0" } });
        }
        operations.insert(format!("receive.{id}.{}", group.name), receive);
    }
}

/// A reference to a place in the document.
fn reference(path: &[&str]) -> Value {
    let path: Vec<String> = path
        .iter()
        .map(|part| part.replace('~', "~0").replace('/', "~1"))
        .collect();
    json!({ "$ref": format!("#/{}", path.join("/")) })
}
