"""SQS behind SNS: boto3. CloudEvents has no binding for it, and FastStream no broker."""

import asyncio

import boto3

from common import CLIENT, SERVER, TOPIC, Heard, event, event_of, headers_of, order, payload, run

access = {
    "endpoint_url": SERVER,
    "region_name": "us-east-1",
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
}
sns, sqs = boto3.client("sns", **access), boto3.client("sqs", **access)
topics = sns.get_paginator("list_topics").paginate().search("Topics[].TopicArn")
topic = next(arn for arn in topics if arn.endswith(f":{TOPIC}.fifo"))
queue = sqs.create_queue(QueueName=f"{TOPIC}-python.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
sns.subscribe(
    TopicArn=topic,
    Protocol="sqs",
    Endpoint=attributes["QueueArn"],
    Attributes={"RawMessageDelivery": "true"},
)


def publish():
    send("plain", {})
    send("event", headers_of(event("event")))


def send(name, headers):
    placed = order(name)
    sns.publish(
        TopicArn=topic,
        Message=payload(placed).decode(),
        MessageGroupId=name,
        MessageDeduplicationId=name,
        MessageAttributes={
            header: {"DataType": "String", "StringValue": value} for header, value in headers.items()
        },
    )


def read():
    heard = Heard(CLIENT)
    while heard.left:
        answer = sqs.receive_message(
            QueueUrl=queue, WaitTimeSeconds=2, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            attributes = message.get("MessageAttributes", {})
            headers = {name: value["StringValue"] for name, value in attributes.items()}
            heard.take(message["Body"], lambda: event_of(headers, message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_queue(QueueUrl=queue)


asyncio.run(run(publish, read))
