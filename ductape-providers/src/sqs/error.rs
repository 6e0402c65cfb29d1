//! What AWS's errors mean, as a table.

use std::error::Error as StdError;
use std::io;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::BatchResultErrorEntry;

use crate::error::{Error, ErrorKind};

/// What a code of SQS, SNS, or of what stands before them, means. Codes are listed without the service's prefix, by which
/// the same one comes from the older protocol: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>.
const TABLE: &[(&str, ErrorKind)] = &[
    ("NonExistentQueue", ErrorKind::TopicMissing),
    ("QueueDoesNotExist", ErrorKind::TopicMissing),
    ("NotFound", ErrorKind::TopicMissing),
    ("NotFoundException", ErrorKind::TopicMissing),
    ("ResourceNotFoundException", ErrorKind::TopicMissing),
    ("QueueNameExists", ErrorKind::TopologyMismatch),
    ("QueueAlreadyExists", ErrorKind::TopologyMismatch),
    ("QueueDeletedRecently", ErrorKind::Throttled),
    ("ReceiptHandleIsInvalid", ErrorKind::LeaseLost),
    ("MessageNotInflight", ErrorKind::LeaseLost),
    ("InvalidIdFormat", ErrorKind::LeaseLost),
    ("AccessDenied", ErrorKind::Unauthorized),
    ("AccessDeniedException", ErrorKind::Unauthorized),
    ("AuthorizationError", ErrorKind::Unauthorized),
    ("AuthFailure", ErrorKind::Unauthorized),
    ("ExpiredToken", ErrorKind::Unauthorized),
    ("ExpiredTokenException", ErrorKind::Unauthorized),
    ("IncompleteSignature", ErrorKind::Unauthorized),
    ("InvalidAccessKeyId", ErrorKind::Unauthorized),
    ("InvalidClientTokenId", ErrorKind::Unauthorized),
    ("InvalidSecurity", ErrorKind::Unauthorized),
    ("InvalidSignatureException", ErrorKind::Unauthorized),
    ("KmsAccessDenied", ErrorKind::Unauthorized),
    ("KMSAccessDenied", ErrorKind::Unauthorized),
    ("MissingAuthenticationToken", ErrorKind::Unauthorized),
    ("NotAuthorized", ErrorKind::Unauthorized),
    ("OptInRequired", ErrorKind::Unauthorized),
    ("SignatureDoesNotMatch", ErrorKind::Unauthorized),
    ("UnrecognizedClientException", ErrorKind::Unauthorized),
    ("KmsThrottled", ErrorKind::Throttled),
    ("KMSThrottling", ErrorKind::Throttled),
    ("OverLimit", ErrorKind::Throttled),
    ("RequestLimitExceeded", ErrorKind::Throttled),
    ("RequestThrottled", ErrorKind::Throttled),
    ("Throttled", ErrorKind::Throttled),
    ("ThrottledException", ErrorKind::Throttled),
    ("Throttling", ErrorKind::Throttled),
    ("ThrottlingException", ErrorKind::Throttled),
    ("TooManyRequestsException", ErrorKind::Throttled),
    ("BatchRequestTooLong", ErrorKind::PayloadTooLarge),
    ("InternalError", ErrorKind::Unreachable),
    ("InternalFailure", ErrorKind::Unreachable),
    ("InternalServerError", ErrorKind::Unreachable),
    ("ServiceUnavailable", ErrorKind::Unreachable),
    ("RequestTimeout", ErrorKind::Timeout),
    ("UnsupportedOperation", ErrorKind::Unsupported),
];

/// Parts of the text of an error whose code says little: `InvalidParameterValue`, `InvalidParameter`.
const TEXTS: &[(&str, ErrorKind)] = &[
    ("must be shorter than", ErrorKind::PayloadTooLarge),
    ("Message too long", ErrorKind::PayloadTooLarge),
    ("receipt handle has expired", ErrorKind::LeaseLost),
    (
        "not available for visibility timeout change",
        ErrorKind::LeaseLost,
    ),
    ("beyond the limit [43200 seconds]", ErrorKind::LeaseLost),
    (
        "already exists with different attributes",
        ErrorKind::TopologyMismatch,
    ),
];

fn kind_of(code: &str, text: &str) -> Option<ErrorKind> {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    let by_code = TABLE.iter().find(|(known, _)| *known == code);
    let found = by_code.or_else(|| TEXTS.iter().find(|(part, _)| text.contains(part)));
    found.map(|(_, kind)| *kind)
}

/// The error of a request: what was asked, and what is to be told of the answer.
pub(super) fn of<E>(operation: &'static str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let failed = |kind, text: String| Error::new(kind, text).with("operation", operation);
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let meta = answer.err().meta();
            let Some(code) = meta.code() else {
                return not_sqs(operation, &format!("it answers {status} without a code"));
            };
            let text = meta.message().unwrap_or_default();
            let error = answered(operation, code, text, status >= 500, status == 403);
            if status >= 500 {
                error.with_indeterminate()
            } else {
                error
            }
        }
        SdkError::TimeoutError(_) => failed(
            ErrorKind::Timeout,
            "AWS did not answer in time; check the network, and the endpoint".to_owned(),
        )
        .with_indeterminate(),
        SdkError::DispatchFailure(failure) => {
            let chain = failure
                .as_connector_error()
                .map(|error| texts(error))
                .unwrap_or_default();
            if failure.is_other() && is_about_credentials(&chain) {
                return no_credentials(operation, &chain);
            }
            let kind = if failure.is_timeout() {
                ErrorKind::Timeout
            } else {
                ErrorKind::Unreachable
            };
            let refused = failure
                .as_connector_error()
                .is_some_and(|error| never_connected(error));
            let text =
                format!("AWS can't be reached; check the network, the region and the endpoint: {chain}");
            if refused {
                failed(kind, text)
            } else {
                failed(kind, text).with_indeterminate()
            }
        }
        SdkError::ConstructionFailure(_) => {
            let chain = error.source().map(texts).unwrap_or_default();
            if is_about_credentials(&chain) {
                return no_credentials(operation, &chain);
            }
            failed(
                ErrorKind::Unexpected,
                format!("the request could not be made: {chain}"),
            )
        }
        SdkError::ResponseError(_) => not_sqs(operation, &error.source().map(texts).unwrap_or_default()),
        other => failed(ErrorKind::Unexpected, texts(&other)),
    }
}

/// The error of an entry of a batch whose others may have been taken.
pub(super) fn of_entry(operation: &'static str, entry: &BatchResultErrorEntry) -> Error {
    let text = entry.message().unwrap_or_default();
    answered(operation, entry.code(), text, !entry.sender_fault(), false)
}

/// The same, of SNS.
pub(super) fn of_sns_entry(
    operation: &'static str,
    entry: &aws_sdk_sns::types::BatchResultErrorEntry,
) -> Error {
    let text = entry.message().unwrap_or_default();
    answered(operation, entry.code(), text, !entry.sender_fault(), false)
}

/// An error that AWS answered with. The text is left out where it can have parts of the request's signature.
fn answered(operation: &'static str, code: &str, text: &str, servers_fault: bool, forbidden: bool) -> Error {
    let kind = match kind_of(code, text) {
        Some(kind) => kind,
        None if forbidden => ErrorKind::Unauthorized,
        None if servers_fault => ErrorKind::Unreachable,
        None => ErrorKind::Unexpected,
    };
    let shown = match kind {
        ErrorKind::Unauthorized => format!(
            "AWS refused the request ({}); check the keys, their region, and that they may do this",
            line(code)
        ),
        _ => format!("AWS answers {}: {}", line(code), line(text)),
    };
    let error = Error::new(kind, shown).with("operation", operation);
    if servers_fault {
        error.with_temporary(true)
    } else {
        error
    }
}

fn not_sqs(operation: &'static str, why: &str) -> Error {
    let text =
        format!("what answers is not SQS or SNS, or stopped in the midst of it; check the endpoint: {why}");
    Error::new(ErrorKind::Unreachable, text)
        .with("operation", operation)
        .with_indeterminate()
}

fn no_credentials(operation: &'static str, chain: &str) -> Error {
    let text = format!(
        "there are no keys for AWS; write `accessKeyId` and `secretAccessKey`, or give the machine or its environment \
         some: {chain}"
    );
    Error::new(ErrorKind::Unauthorized, text).with("operation", operation)
}

fn is_about_credentials(chain: &str) -> bool {
    chain.contains("credential")
}

/// Whether the request surely never left: there was no connection to send it by.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let refused = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if refused || error.to_string().contains("dns error") {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error and its causes in one line.
fn texts(error: &(dyn StdError + 'static)) -> String {
    let mut all = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = line(&error.to_string());
        if !text.is_empty() && all.last() != Some(&text) {
            all.push(text);
        }
        next = error.source();
    }
    all.join(": ")
}

/// Foreign text on one line, cut where it is long.
fn line(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(CHARS_MAX).map(on_one_line).collect()
}

#[cfg(test)]
mod tests {
    use super::{TABLE, TEXTS, answered, kind_of};
    use crate::error::ErrorKind;

    #[test]
    fn every_row_is_found_by_its_code_with_and_without_a_prefix() {
        for (code, kind) in TABLE {
            for code in [
                (*code).to_owned(),
                format!("AWS.SimpleQueueService.{code}"),
                format!("com.amazonaws.sqs#{code}"),
            ] {
                assert_eq!(kind_of(&code, ""), Some(*kind), "{code}");
            }
        }
        for (part, kind) in TEXTS {
            let text = format!("Reason: {part} whatever.");
            assert_eq!(kind_of("InvalidParameterValue", &text), Some(*kind), "{part}");
        }
        assert_eq!(kind_of("Other", "text"), None);
    }

    #[test]
    fn an_error_says_whether_trying_again_can_help() {
        for (code, servers_fault, forbidden, kind, temporary) in [
            ("RequestThrottled", false, false, ErrorKind::Throttled, true),
            ("InternalError", true, false, ErrorKind::Unreachable, true),
            ("Unheard", true, false, ErrorKind::Unreachable, true),
            ("Unheard", false, false, ErrorKind::Unexpected, false),
            ("Unheard", false, true, ErrorKind::Unauthorized, false),
            ("AccessDenied", false, true, ErrorKind::Unauthorized, false),
            ("QueueDoesNotExist", false, false, ErrorKind::TopicMissing, false),
        ] {
            let error = answered("publish", code, "text", servers_fault, forbidden);
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{code}");
            assert!(error.to_string().contains(code), "{error}");
        }
    }

    #[test]
    fn what_may_have_parts_of_a_signature_is_not_shown() {
        let text = "The Canonical String should have been x-amz-security-token:CANARY";
        let error = answered("publish", "SignatureDoesNotMatch", text, false, true);
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    }

    #[test]
    fn foreign_text_stays_on_one_line() {
        let error = answered(
            "publish",
            "Other",
            &format!("a\n[ERROR] fake\u{1b}{}", "x".repeat(999)),
            false,
            false,
        );
        let text = error.to_string();
        assert!(!text.contains(['\n', '\u{1b}']) && text.len() < 500, "{text}");
    }
}
