//! Anthropic Messages: server-sent events, the whole message, errors.

use super::encode::{Message, Step};
use super::script::{Block, Tokens};
use serde_json::{Value, json};

/// The text of a step, and the usage numbers that it carries for the first time.
pub(super) fn encode(message: &Message, step: &Step) -> (String, Tokens) {
    let usage = message.usage;
    match step {
        Step::Head => {
            let mut head = skeleton(message);
            head["usage"] = json!({
                "input_tokens": usage.input,
                "cache_creation_input_tokens": usage.cache_write,
                "cache_read_input_tokens": usage.cache_read,
                "output_tokens": 0,
            });
            let text = event("message_start", json!({ "message": head })) + &event("ping", json!({}));
            (text, Tokens { output: 0, ..usage })
        }
        Step::Start(index) => {
            let block = match &message.blocks[*index] {
                Block::ToolUse { name, .. } => json!({
                    "type": "tool_use", "id": message.call_id("toolu_", *index), "name": name, "input": {},
                }),
                Block::Thinking(_) => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                _ => json!({ "type": "text", "text": "" }),
            };
            (
                event("content_block_start", json!({ "index": index, "content_block": block })),
                Tokens::default(),
            )
        }
        Step::Piece(index, piece) => {
            let delta = match &message.blocks[*index] {
                Block::ToolUse { .. } => json!({ "type": "input_json_delta", "partial_json": piece }),
                Block::Thinking(_) => json!({ "type": "thinking_delta", "thinking": piece }),
                _ => json!({ "type": "text_delta", "text": piece }),
            };
            (event("content_block_delta", json!({ "index": index, "delta": delta })), Tokens::default())
        }
        Step::Stop(index) => {
            let mut text = String::new();
            if let Block::Thinking(_) = &message.blocks[*index] {
                let delta = json!({ "type": "signature_delta", "signature": "c2lnbmVk" });
                text += &event("content_block_delta", json!({ "index": index, "delta": delta }));
            }
            text += &event("content_block_stop", json!({ "index": index }));
            (text, Tokens::default())
        }
        Step::Finish => {
            let body = json!({
                "delta": { "stop_reason": stop_reason(message), "stop_sequence": null },
                "usage": { "output_tokens": usage.output },
            });
            (event("message_delta", body), Tokens { output: usage.output, ..Tokens::default() })
        }
        Step::End => (event("message_stop", json!({})), Tokens::default()),
    }
}

/// The whole message, for a request that asked for no stream.
pub(super) fn whole(message: &Message) -> Value {
    let content = message.blocks.iter().enumerate().map(|(index, block)| match block {
        Block::ToolUse { name, args, .. } => json!({
            "type": "tool_use", "id": message.call_id("toolu_", index), "name": name,
            "input": if args.is_null() { json!({}) } else { args.clone() },
        }),
        Block::Thinking(text) => json!({ "type": "thinking", "thinking": text, "signature": "c2lnbmVk" }),
        other => json!({ "type": "text", "text": Message::whole(other) }),
    });
    let mut body = skeleton(message);
    body["content"] = content.collect();
    body["stop_reason"] = json!(stop_reason(message));
    body["usage"] = json!({
        "input_tokens": message.usage.input,
        "cache_creation_input_tokens": message.usage.cache_write,
        "cache_read_input_tokens": message.usage.cache_read,
        "output_tokens": message.usage.output,
    });
    body
}

/// The body of an error answer.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}

/// An error within a stream.
pub(super) fn error_event(kind: &str, message: &str) -> String {
    event("error", json!({ "error": { "type": kind, "message": message } }))
}

/// The provider's error type for a status.
pub(super) const fn error_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn skeleton(message: &Message) -> Value {
    json!({
        "id": format!("msg_{:04}", message.n),
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
    })
}

fn stop_reason(message: &Message) -> &str {
    match &message.stop {
        Some(reason) => reason,
        None if message.calls_tools() => "tool_use",
        None => "end_turn",
    }
}

fn event(name: &str, mut body: Value) -> String {
    body["type"] = json!(name);
    format!("event: {name}\ndata: {body}\n\n")
}
