//! A plain HTTP client for loopback, and readers of the two streaming formats.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// An answer, as far as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether the answer came to its proper end.
    pub(crate) whole: bool,
}

/// Sends a request and leaves the answer unread.
pub(crate) fn send(port: u16, path: &str, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer k-1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

pub(crate) fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let head = head.to_lowercase();
    let (body, whole) = if head.contains("transfer-encoding: chunked") {
        unchunk(rest)
    } else {
        (rest.to_owned(), status != 0)
    };
    Answer { status, head, body, whole }
}

pub(crate) fn post(port: u16, path: &str, body: &Value) -> Answer {
    read(send(port, path, body))
}

fn unchunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 {
            return (body, true);
        }
        let Some(piece) = after.get(..size) else { break };
        body.push_str(piece);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}

pub(crate) fn anthropic(system: &str, messages: Value, stream: bool) -> Value {
    json!({ "model": "m-1", "system": [{ "type": "text", "text": system }], "messages": messages, "stream": stream,
            "max_tokens": 100, "tools": [{ "name": "bash", "input_schema": { "type": "object" } }] })
}

pub(crate) fn openai(system: &str, messages: Value, stream: bool) -> Value {
    let mut all = vec![json!({ "role": "system", "content": system })];
    all.extend(messages.as_array().unwrap().iter().cloned());
    json!({ "model": "m-1", "messages": all, "stream": stream, "stream_options": { "include_usage": true },
            "tools": [{ "type": "function", "function": { "name": "bash", "parameters": {} } }] })
}

pub(crate) fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

/// The data lines of a stream.
pub(crate) fn data(body: &str) -> Vec<Value> {
    body.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|line| *line != "[DONE]")
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What a client puts together from a stream: blocks, stop reason, usage.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Assembled {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) calls: Vec<(String, Value)>,
    pub(crate) stop: String,
    /// input, output, cache read, cache write
    pub(crate) usage: [u64; 4],
}

pub(crate) fn assemble_anthropic(body: &str) -> Assembled {
    let mut message = Assembled::default();
    let mut arguments = String::new();
    for event in data(body) {
        match event["type"].as_str().unwrap() {
            "message_start" => {
                let usage = &event["message"]["usage"];
                message.usage[0] = usage["input_tokens"].as_u64().unwrap();
                message.usage[2] = usage["cache_read_input_tokens"].as_u64().unwrap();
                message.usage[3] = usage["cache_creation_input_tokens"].as_u64().unwrap();
            }
            "content_block_start" if event["content_block"]["type"] == "tool_use" => {
                let name = event["content_block"]["name"].as_str().unwrap().to_owned();
                message.calls.push((name, Value::Null));
                arguments.clear();
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                let piece = |name: &str| delta[name].as_str().unwrap_or_default().to_owned();
                message.text += &piece("text");
                message.thinking += &piece("thinking");
                arguments += &piece("partial_json");
            }
            "content_block_stop" => {
                if let Some((_, args)) = message.calls.last_mut()
                    && args.is_null()
                {
                    *args = serde_json::from_str(&arguments).unwrap();
                }
            }
            "message_delta" => {
                message.stop = event["delta"]["stop_reason"].as_str().unwrap().to_owned();
                message.usage[1] = event["usage"]["output_tokens"].as_u64().unwrap();
            }
            _ => {}
        }
    }
    message
}

pub(crate) fn assemble_openai(body: &str) -> Assembled {
    let mut message = Assembled::default();
    let mut calls: Vec<(String, String)> = Vec::new();
    for chunk in data(body) {
        if let Some(prompt) = chunk["usage"]["prompt_tokens"].as_u64() {
            let details = &chunk["usage"]["prompt_tokens_details"];
            let read = details["cached_tokens"].as_u64().unwrap();
            let written = details["cache_write_tokens"].as_u64().unwrap();
            let output = chunk["usage"]["completion_tokens"].as_u64().unwrap();
            message.usage = [prompt - read - written, output, read, written];
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        message.text += choice["delta"]["content"].as_str().unwrap_or_default();
        message.thinking += choice["delta"]["reasoning_content"].as_str().unwrap_or_default();
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if index == calls.len() {
                calls.push((call["function"]["name"].as_str().unwrap().to_owned(), String::new()));
            }
            calls[index].1 += call["function"]["arguments"].as_str().unwrap();
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            message.stop = reason.to_owned();
        }
    }
    message.calls =
        calls.into_iter().map(|(name, args)| (name, serde_json::from_str(&args).unwrap())).collect();
    message
}
