//! OpenAI chat completions: server-sent chunks, the whole completion, errors.

use super::encode::{Message, Step};
use super::script::{Block, Tokens};
use serde_json::{Value, json};

/// The text of a step, and the usage numbers that it carries. Usage goes out only to a client that asked for it.
pub(super) fn encode(message: &Message, step: &Step, include_usage: bool) -> (String, Tokens) {
    let none = Tokens::default();
    match step {
        Step::Head => (chunk(message, json!({ "role": "assistant", "content": "" }), Value::Null), none),
        Step::Start(index) => match &message.blocks[*index] {
            Block::ToolUse { name, .. } => {
                let call = json!({
                    "index": call_index(message, *index), "id": message.call_id("call_", *index), "type": "function",
                    "function": { "name": name, "arguments": "" },
                });
                (chunk(message, json!({ "tool_calls": [call] }), Value::Null), none)
            }
            _ => (String::new(), none),
        },
        Step::Piece(index, piece) => {
            let delta = match &message.blocks[*index] {
                Block::ToolUse { .. } => json!({
                    "tool_calls": [{ "index": call_index(message, *index), "function": { "arguments": piece } }],
                }),
                Block::Thinking(_) => json!({ "reasoning_content": piece }),
                _ => json!({ "content": piece }),
            };
            (chunk(message, delta, Value::Null), none)
        }
        Step::Stop(_) => (String::new(), none),
        Step::Finish => {
            let mut text = chunk(message, json!({}), json!(finish_reason(message)));
            if !include_usage {
                return (text, none);
            }
            let mut last = skeleton(message, "chat.completion.chunk");
            last["choices"] = json!([]);
            last["usage"] = usage(message.usage);
            text += &data(&last);
            (text, message.usage)
        }
        Step::End => ("data: [DONE]\n\n".to_owned(), none),
    }
}

/// The whole completion, for a request that asked for no stream.
pub(super) fn whole(message: &Message) -> Value {
    let mut text = String::new();
    let mut calls = Vec::new();
    for (index, block) in message.blocks.iter().enumerate() {
        match block {
            Block::ToolUse { name, .. } => calls.push(json!({
                "id": message.call_id("call_", index), "type": "function",
                "function": { "name": name, "arguments": Message::whole(block) },
            })),
            Block::Thinking(_) => {}
            other => text += &Message::whole(other),
        }
    }
    let mut answer = json!({ "role": "assistant", "content": text });
    if !calls.is_empty() {
        answer["tool_calls"] = calls.into();
    }
    let mut body = skeleton(message, "chat.completion");
    body["choices"] = json!([{ "index": 0, "message": answer, "finish_reason": finish_reason(message) }]);
    body["usage"] = usage(message.usage);
    body
}

/// The body of an error answer, and of an error within a stream.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "code": kind } })
}

/// An error within a stream.
pub(super) fn error_event(kind: &str, message: &str) -> String {
    data(&error(kind, message))
}

/// The provider's error type for a status.
pub(super) const fn error_kind(status: u16) -> &'static str {
    match status {
        401 => "invalid_api_key",
        429 => "rate_limit_exceeded",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// OpenAI counts cached tokens into the prompt; a separate number says how many of them were.
fn usage(tokens: Tokens) -> Value {
    let prompt = tokens.input + tokens.cache_read + tokens.cache_write;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt + tokens.output,
        "prompt_tokens_details": { "cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write },
        "completion_tokens_details": { "reasoning_tokens": 0 },
    })
}

/// Tool calls are counted among themselves.
fn call_index(message: &Message, block: usize) -> usize {
    message.blocks[..block].iter().filter(|block| matches!(block, Block::ToolUse { .. })).count()
}

fn finish_reason(message: &Message) -> &str {
    match &message.stop {
        Some(reason) => reason,
        None if message.calls_tools() => "tool_calls",
        None => "stop",
    }
}

fn skeleton(message: &Message, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{:04}", message.n),
        "object": object,
        "created": 1_767_225_600,
        "model": message.model,
    })
}

fn chunk(message: &Message, delta: Value, finish: Value) -> String {
    let mut body = skeleton(message, "chat.completion.chunk");
    body["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    data(&body)
}

fn data(body: &Value) -> String {
    format!("data: {body}\n\n")
}
