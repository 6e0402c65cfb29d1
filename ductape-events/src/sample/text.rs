use serde_json::{Map, Value};

use super::pattern;

/// The longest text that a minimum length can ask for.
const CHARS_MAX: usize = 4096;

/// A text of the format, the pattern and the length that the keywords ask for.
pub(super) fn text(keywords: &Map<String, Value>) -> Option<String> {
    let size = |key: &str| {
        keywords
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|size| usize::try_from(size).ok())
    };
    let least = size("minLength").unwrap_or(0).min(CHARS_MAX);
    let most = size("maxLength").unwrap_or(usize::MAX);
    let fits = |text: &String| (least..=most).contains(&text.chars().count());
    if let Some(text) = keywords.get("format").and_then(Value::as_str).and_then(of_format) {
        return Some(text.to_owned());
    }
    if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str) {
        // Each round repeats once more what may be repeated.
        let texts = (0..=least.clamp(8, 256)).filter_map(|round| pattern::matching(pattern, round));
        let mut texts = texts.peekable();
        let first = texts.peek().cloned();
        return texts.find(fits).or(first);
    }
    let mut text = "text".to_owned();
    while text.chars().count() < least {
        text.push('x');
    }
    Some(text.chars().take(most).collect())
}

/// A text of a format that JSON Schema or schemars names.
fn of_format(format: &str) -> Option<&'static str> {
    Some(match format {
        "date-time" => "2026-01-01T12:00:00Z",
        "partial-date-time" => "2026-01-01T12:00:00",
        "zoned-date-time" => "2026-01-01T12:00:00+00:00[UTC]",
        "date" => "2026-01-01",
        "time" => "12:00:00Z",
        "partial-time" => "12:00:00",
        "duration" => "PT1H",
        "uuid" => "0199f3c2-6a00-7c4e-9d3b-5f0a1e2b3c4d",
        "ulid" => "01J9ZQ3V7K8M4N5P6R7S8T9V0W",
        "email" | "idn-email" => "someone@example.com",
        "hostname" | "idn-hostname" => "example.com",
        "ip" | "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "iri" | "url" => "https://example.com/",
        "uri-reference" | "iri-reference" | "json-pointer" => "/path",
        "uri-template" => "/orders/{id}",
        "relative-json-pointer" => "0/path",
        "regex" => "^a$",
        _ => return None,
    })
}
