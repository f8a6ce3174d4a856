//! What arrived, as recorded, and the conversation read out of either wire format.

use super::script::Tokens;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Headers that carry a key: only the fact that they were there is recorded.
const SECRET_HEADERS: [&str; 5] = ["authorization", "x-api-key", "api-key", "proxy-authorization", "cookie"];

/// The wire format of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// `POST /v1/messages`
    Anthropic,
    /// `POST /v1/chat/completions`
    OpenAi,
    /// Another address: never expected.
    Other,
}

/// How far the reply to a request has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Held, delayed or streaming.
    Open,
    /// The whole reply went out.
    Done,
    /// An HTTP error of the script went out.
    Error(u16),
    /// Cut, or ended by an error event, as the script says.
    Broken,
    /// The client went away before the end.
    ClientLeft,
    /// The script had no reply.
    Unexpected,
}

/// One recorded request.
#[derive(Clone, Serialize)]
pub struct Request {
    /// 1 for the first.
    pub n: u64,
    /// Its wire format.
    pub wire: Wire,
    /// Its path.
    pub path: String,
    /// Its headers in lower case, keys replaced by `<secret>`.
    pub headers: BTreeMap<String, String>,
    /// Its JSON body; `null` when it was no JSON.
    #[serde(serialize_with = "shared")]
    pub body: Arc<Value>,
    /// The name of the rule that answered.
    pub rule: Option<String>,
    /// Which of the rule's replies.
    pub slot: usize,
    /// How far the reply has come.
    pub ending: Ending,
    /// The usage numbers that really went out.
    pub sent: Tokens,
    #[serde(skip)]
    pub(super) credential: Option<String>,
    #[serde(skip)]
    conversation: Arc<Conversation>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}

impl Request {
    pub(super) fn new(
        wire: Wire,
        path: String,
        headers: impl Iterator<Item = (String, String)>,
        body: Value,
    ) -> Self {
        let mut kept = BTreeMap::new();
        let mut credential = None;
        for (name, value) in headers {
            if SECRET_HEADERS.contains(&name.as_str()) {
                credential = Some(value.strip_prefix("Bearer ").unwrap_or(&value).to_owned());
                kept.insert(name, "<secret>".to_owned());
            } else {
                kept.insert(name, value);
            }
        }
        let conversation = Arc::new(Conversation::read(wire, &body));
        Self {
            n: 0,
            wire,
            path,
            headers: kept,
            body: Arc::new(body),
            rule: None,
            slot: 0,
            ending: Ending::Open,
            sent: Tokens::default(),
            credential,
            conversation,
        }
    }

    /// The conversation, the same for both wire formats.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Whether the request was signed with this key.
    pub fn signed_with(&self, key: &str) -> bool {
        self.credential.as_deref() == Some(key)
    }

    /// Whether a stream was asked for.
    pub fn streams(&self) -> bool {
        self.body.get("stream").and_then(Value::as_bool).unwrap_or(false)
    }

    /// One line for an assertion's message.
    pub fn summary(&self) -> String {
        let conversation = self.conversation();
        let short = |text: &str| text.chars().take(160).collect::<String>();
        format!(
            "request {} {} model={:?} turn={} rule={:?} slot={} ending={:?} system={:?} last user={:?} last tool result={:?}",
            self.n,
            self.path,
            conversation.model,
            conversation.turn(),
            self.rule,
            self.slot,
            self.ending,
            short(&conversation.system),
            short(conversation.users().next_back().unwrap_or_default()),
            conversation.last_tool_result().map(short),
        )
    }
}

/// A tool call in an assistant's message.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments.
    pub args: Value,
}

/// One message of a conversation. A user's message that carries tool results and text becomes several.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A text by the user.
    User(String),
    /// What the model said before.
    Assistant {
        /// Its text.
        text: String,
        /// Its tool calls.
        calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    ToolResult {
        /// The id of the call it answers.
        id: String,
        /// The result's text.
        text: String,
    },
}

/// A conversation, read out of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The model asked for.
    pub model: String,
    /// The system prompt, all parts joined by line breaks.
    pub system: String,
    /// The names of the tools offered.
    pub tools: Vec<String>,
    /// The messages, oldest first.
    pub messages: Vec<Message>,
}

impl Conversation {
    /// The user's texts, oldest first.
    pub fn users(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.messages.iter().filter_map(|message| match message {
            Message::User(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The tools' results, oldest first.
    pub fn tool_results(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.messages.iter().filter_map(|message| match message {
            Message::ToolResult { text, .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// The newest tool result.
    pub fn last_tool_result(&self) -> Option<&str> {
        self.tool_results().next_back()
    }

    /// How many assistant messages precede the reply that is asked for.
    pub fn turn(&self) -> usize {
        self.messages.iter().filter(|message| matches!(message, Message::Assistant { .. })).count()
    }

    /// As [`Conversation::turn`], counted from the newest user text.
    pub fn turn_of_prompt(&self) -> usize {
        self.messages
            .iter()
            .rev()
            .take_while(|message| !matches!(message, Message::User(_)))
            .filter(|message| matches!(message, Message::Assistant { .. }))
            .count()
    }

    fn read(wire: Wire, body: &Value) -> Self {
        let mut conversation = Self { model: text_of(&body["model"]), ..Self::default() };
        match wire {
            Wire::Anthropic => conversation.read_anthropic(body),
            Wire::OpenAi => conversation.read_openai(body),
            Wire::Other => {}
        }
        conversation
    }

    fn read_anthropic(&mut self, body: &Value) {
        self.system = text_of(&body["system"]);
        self.tools = items(&body["tools"]).iter().map(|tool| text_of(&tool["name"])).collect();
        for message in items(&body["messages"]) {
            let content = &message["content"];
            match message["role"].as_str() {
                Some("assistant") => {
                    let calls = items(content).iter().filter(|block| block["type"] == "tool_use");
                    self.messages.push(Message::Assistant {
                        text: text_of(content),
                        calls: calls
                            .map(|call| ToolCall {
                                id: text_of(&call["id"]),
                                name: text_of(&call["name"]),
                                args: call["input"].clone(),
                            })
                            .collect(),
                    });
                }
                Some("system") => push_line(&mut self.system, &text_of(content)),
                _ => {
                    for result in items(content).iter().filter(|block| block["type"] == "tool_result") {
                        self.messages.push(Message::ToolResult {
                            id: text_of(&result["tool_use_id"]),
                            text: text_of(&result["content"]),
                        });
                    }
                    let text = text_of(content);
                    if !text.is_empty() {
                        self.messages.push(Message::User(text));
                    }
                }
            }
        }
    }

    fn read_openai(&mut self, body: &Value) {
        self.tools = items(&body["tools"]).iter().map(|tool| text_of(&tool["function"]["name"])).collect();
        for message in items(&body["messages"]) {
            let text = text_of(&message["content"]);
            match message["role"].as_str() {
                Some("system" | "developer") => push_line(&mut self.system, &text),
                Some("assistant") => {
                    let calls = items(&message["tool_calls"]);
                    self.messages.push(Message::Assistant {
                        text,
                        calls: calls
                            .iter()
                            .map(|call| ToolCall {
                                id: text_of(&call["id"]),
                                name: text_of(&call["function"]["name"]),
                                args: serde_json::from_str(&text_of(&call["function"]["arguments"]))
                                    .unwrap_or(Value::Null),
                            })
                            .collect(),
                    });
                }
                Some("tool") => {
                    self.messages.push(Message::ToolResult { id: text_of(&message["tool_call_id"]), text });
                }
                _ => self.messages.push(Message::User(text)),
            }
        }
    }
}

fn shared<S: serde::Serializer>(body: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    body.as_ref().serialize(serializer)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// A text that is either a string or a list of parts of which those of type `text` count.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let mut text = String::new();
            for part in parts.iter().filter(|part| part["type"] == "text") {
                push_line(&mut text, part["text"].as_str().unwrap_or_default());
            }
            text
        }
        _ => String::new(),
    }
}
