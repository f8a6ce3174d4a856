//! What kind of error a text speaks of. Programs pass provider errors on as text, so the text is all there is.

use windlass_events::ErrorClass;

/// Phrases in lower case, in the order in which classes are tried: what stays wrong comes before what passes, because
/// providers answer 429 for an empty account and 400 for a prompt that is too long.
const PHRASES: &[(ErrorClass, &[&str])] = &[
    (
        ErrorClass::Context,
        &[
            "prompt is too long",
            "context_length",
            "context length",
            "context window",
            "maximum context",
            "input is too long",
            "too many input tokens",
            "exceeds the maximum number of tokens",
            "request_too_large",
            "reduce the length of the messages",
        ],
    ),
    (
        ErrorClass::Quota,
        &[
            "insufficient_quota",
            "insufficient quota",
            "insufficient balance",
            "insufficient credit",
            "credit balance",
            "out of credit",
            "exceeded your current quota",
            "quota_exceeded",
            "billing",
            "payment required",
            "usage limit",
            "usage_limit",
            "spending limit",
            "monthly limit",
            "weekly limit",
        ],
    ),
    (
        ErrorClass::Auth,
        &[
            "no api key",
            "no models available",
            "invalid api key",
            "invalid_api_key",
            "incorrect api key",
            "invalid x-api-key",
            "authentication",
            "unauthorized",
            "unauthenticated",
            "permission_error",
            "permission denied",
            "forbidden",
            "token has expired",
            "token expired",
            "please log in",
            "please run /login",
            "not logged in",
            "oauth",
        ],
    ),
    (
        ErrorClass::RateLimit,
        &["rate limit", "rate_limit", "ratelimit", "too many requests", "resource_exhausted"],
    ),
    (
        ErrorClass::Overloaded,
        &[
            "overloaded",
            "internal server error",
            "internal_error",
            "server_error",
            "api_error",
            "bad gateway",
            "service unavailable",
            "gateway timeout",
            "temporarily unavailable",
            "at capacity",
        ],
    ),
    (
        ErrorClass::Network,
        &[
            "fetch failed",
            "econn",
            "enotfound",
            "etimedout",
            "epipe",
            "eai_again",
            "enetunreach",
            "ehostunreach",
            "socket hang up",
            "connection error",
            "connection reset",
            "connection refused",
            "connection closed",
            "network",
            "terminated",
            "premature close",
            "stream ended",
            "other side closed",
            "timed out",
            "timeout",
            "certificate",
        ],
    ),
    (
        ErrorClass::BadRequest,
        &[
            "invalid_request",
            "invalid request",
            "not_found_error",
            "model not found",
            "model_not_found",
            "unknown model",
            "does not exist",
            "unsupported",
            "bad request",
            "not found. use --list-models",
        ],
    ),
];

/// The class of an error text; [`ErrorClass::Provider`] when nothing in it is known.
pub fn classify(message: &str) -> ErrorClass {
    // Enough for what any provider says; a hostile text costs no more than this.
    let end = message.char_indices().nth(4_000).map_or(message.len(), |(i, _)| i);
    let text = message[..end].to_ascii_lowercase();
    let status = http_status(&text);
    let by_phrase =
        PHRASES.iter().find(|(_, phrases)| phrases.iter().any(|p| text.contains(p))).map(|(class, _)| *class);
    match (by_phrase, status) {
        // These say more than the number: an account that is empty is not "too many requests".
        (Some(class @ (ErrorClass::Context | ErrorClass::Quota)), _) => class,
        (_, Some(status)) => by_status(status).or(by_phrase).unwrap_or(ErrorClass::Provider),
        (Some(class), None) => class,
        (None, None) => ErrorClass::Provider,
    }
}

const fn by_status(status: u16) -> Option<ErrorClass> {
    Some(match status {
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::Quota,
        408 => ErrorClass::Network,
        413 => ErrorClass::Context,
        429 => ErrorClass::RateLimit,
        400..=499 => ErrorClass::BadRequest,
        500..=599 => ErrorClass::Overloaded,
        _ => return None,
    })
}

/// An HTTP status at the start of the text (`429 {"type":…`) or after `status`, `status code`, `http`, `error` or `(`.
fn http_status(text: &str) -> Option<u16> {
    let number = |rest: &str| -> Option<u16> {
        let rest = rest.trim_start_matches([' ', ':', '=', '"', '(']);
        let digits = rest.get(..3)?;
        let ends = !rest[3..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
        let value = digits.parse().ok()?;
        (ends && (400..600).contains(&value)).then_some(value)
    };
    number(text.trim_start()).or_else(|| {
        [
            "status code",
            "status_code",
            "statuscode",
            "status",
            "http/1.1",
            "http/2",
            "http",
            "error",
            "code",
            "(",
        ]
        .iter()
        .find_map(|mark| {
            text.match_indices(mark).take(8).find_map(|(at, _)| number(&text[at + mark.len()..]))
        })
    })
}

/// What a person can do about an error of this class; empty when there is nothing general to say.
pub const fn hint(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Auth => {
            "sign in again with the agent program itself, or set the provider's key, then `windlass retry`"
        }
        ErrorClass::Quota => "add credit or name another model with `-m`, then `windlass retry`",
        ErrorClass::RateLimit => "wait a little, or name another model with `-m`, then `windlass retry`",
        ErrorClass::Context => {
            "split the task into smaller steps or name a model with more room, then `windlass retry`"
        }
        ErrorClass::BadRequest => {
            "check the model's name with the agent program itself, then `windlass retry`"
        }
        ErrorClass::Network => "check the network or proxy, then `windlass retry`",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_as_providers_write_them() {
        use ErrorClass as C;
        for (text, class) in [
            (
                r#"500 {"type":"error","error":{"type":"api_error","message":"scripted error 500"}}"#,
                C::Overloaded,
            ),
            (r#"429 {"type":"error","error":{"type":"rate_limit_error"}}"#, C::RateLimit),
            (r#"529 {"type":"error","error":{"type":"overloaded_error"}}"#, C::Overloaded),
            (
                r#"400 {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000"}}"#,
                C::Context,
            ),
            (
                r#"400 {"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
                C::Quota,
            ),
            (
                r#"400 {"type":"error","error":{"type":"invalid_request_error","message":"bad"}}"#,
                C::BadRequest,
            ),
            (
                r#"401 {"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                C::Auth,
            ),
            ("429 You exceeded your current quota, please check your plan and billing details.", C::Quota),
            ("No API key found for anthropic.\n\nUse /login", C::Auth),
            ("Overloaded", C::Overloaded),
            ("terminated", C::Network),
            ("fetch failed", C::Network),
            ("Connection error.", C::Network),
            ("Request failed with status code 503", C::Overloaded),
            ("HTTP 404: model gpt-9 does not exist", C::BadRequest),
            ("This operation was aborted", C::Provider),
            ("", C::Provider),
            ("read 500.5 lines", C::Provider),
        ] {
            assert_eq!(classify(text), class, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_class(text in ".*") {
            classify(&text);
        }
    }
}
