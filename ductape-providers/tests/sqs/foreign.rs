//! Messages that another producer sent.

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::json;

use crate::{connect, consume, group, raw, server, spec, unique};

#[tokio::test]
async fn a_message_without_our_attributes_comes_as_it_is_with_an_id_of_its_own() {
    for variable in ["DUCTAPE_TEST_SQS", "DUCTAPE_TEST_SQS_MOTO"] {
        let Some(endpoint) = server(variable) else { return };
        let provider = connect(&endpoint, &json!({})).await.unwrap();
        let (sqs, _) = raw(&endpoint);
        let (topic, group) = (unique("foreign"), group("g"));
        provider
            .declare_dyn(&spec(&topic, std::slice::from_ref(&group)))
            .await
            .unwrap();
        let queue = format!("{}__g.fifo", topic.physical().replace('.', "_"));
        let url = sqs
            .get_queue_url()
            .queue_name(queue)
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap();
        let tenant = MessageAttributeValue::builder()
            .data_type("String")
            .string_value("acme")
            .build()
            .unwrap();
        for (body, key) in [("not JSON {", "a"), ("[1, 2]", "b")] {
            let send = sqs
                .send_message()
                .queue_url(&url)
                .message_body(body)
                .message_group_id(key);
            let send = send
                .message_deduplication_id(key)
                .message_attributes("Tenant", tenant.clone());
            send.send().await.unwrap();
        }
        let mut came = consume(&provider, &topic, &group, 2).await;
        came.sort_by(|one, two| one.message.key.cmp(&two.message.key));
        assert_eq!(came[0].message.payload, "not JSON {");
        assert_eq!(came[1].message.payload, "[1, 2]");
        assert_eq!(
            came[0].message.key.as_deref(),
            Some(&b"a"[..]),
            "the group is the key"
        );
        assert_ne!(came[0].message.id, came[1].message.id);
        assert_eq!(came[0].message.headers.get("tenant"), Some("acme"));
        assert!(came[0].message.published_at.is_some());
    }
}
