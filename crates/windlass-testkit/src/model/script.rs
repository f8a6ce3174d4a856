//! What a test writes: rules, replies and faults. Everything but [`Rule::answer`] also has a JSON form.

use super::request::Request;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Token numbers of one reply, or a sum of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Tokens of the request, without those read from or written to a cache.
    pub input: u64,
    /// Tokens of the reply.
    pub output: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
    /// Tokens written to the cache.
    pub cache_write: u64,
}

impl Tokens {
    /// Four numbers in the order input, output, cache read, cache write.
    pub const fn new(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Self {
        Self { input, output, cache_read, cache_write }
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            output: self.output + other.output,
            cache_read: self.cache_read + other.cache_read,
            cache_write: self.cache_write + other.cache_write,
        }
    }
}

/// What the server answers with. Rules are asked in order; the first that matches and has a reply left answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The rules, the most special first.
    pub rules: Vec<Rule>,
    /// Usage of replies that name none. `None` means 100 in, 10 out.
    pub usage: Option<Tokens>,
}

impl Script {
    /// A script without rules: every request is unexpected.
    pub fn new() -> Self {
        Self::default()
    }

    /// A script of one rule that answers every request, turn by turn.
    pub fn always(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::new().rule(Rule::new("always").replies(replies))
    }

    /// Adds a rule behind those there are.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets the usage of replies that name none.
    #[must_use]
    pub const fn usage(mut self, tokens: Tokens) -> Self {
        self.usage = Some(tokens);
        self
    }
}

/// One condition on a request. Texts are matched as substrings, with their case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The system prompt contains this.
    System(String),
    /// The first user text contains this.
    FirstUser(String),
    /// The newest user text contains this.
    LastUser(String),
    /// Any user text contains this.
    AnyUser(String),
    /// The newest tool result contains this.
    ToolResult(String),
    /// A tool of this name is offered.
    Tool(String),
    /// The model's name contains this.
    Model(String),
    /// Exactly this many assistant messages precede.
    Turn(usize),
    /// The JSON text of the request contains this.
    Body(String),
    /// The condition does not hold.
    Not(Box<When>),
}

impl When {
    pub(super) fn holds(&self, request: &Request) -> bool {
        let conversation = request.conversation();
        match self {
            Self::System(text) => conversation.system.contains(text),
            Self::FirstUser(text) => conversation.users().next().is_some_and(|user| user.contains(text)),
            Self::LastUser(text) => conversation.users().next_back().is_some_and(|user| user.contains(text)),
            Self::AnyUser(text) => conversation.users().any(|user| user.contains(text)),
            Self::ToolResult(text) => {
                conversation.last_tool_result().is_some_and(|result| result.contains(text))
            }
            Self::Tool(name) => conversation.tools.iter().any(|tool| tool == name),
            Self::Model(text) => conversation.model.contains(text),
            Self::Turn(count) => conversation.turn() == *count,
            Self::Body(text) => request.body.to_string().contains(text),
            Self::Not(inner) => !inner.holds(request),
        }
    }
}

/// How a rule counts through its replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The n-th reply answers the request that n assistant messages precede. Needs no memory: a repeated request gets
    /// the same reply, a conversation continued by another process goes on where it was.
    #[default]
    Turn,
    /// As `Turn`, counted from the newest user text: for a second prompt in the same session.
    Prompt,
    /// One after the other within each conversation (same system prompt and first user text).
    Conversation,
    /// One after the other, whoever asks.
    Queue,
}

type Answer = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Which requests are answered, and with what.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Named in the record and in errors.
    pub name: String,
    /// All must hold. None at all: every request.
    pub when: Vec<When>,
    /// The replies, in the order that `order` says.
    pub replies: Vec<Reply>,
    /// How the replies are counted through.
    pub order: Order,
    /// When the replies are used up, the last is given again. Otherwise the next rule is asked.
    pub repeat_last: bool,
    #[serde(skip)]
    pub(super) answer: Option<Answer>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).field("when", &self.when).finish_non_exhaustive()
    }
}

impl Rule {
    /// A rule that matches every request and has no replies yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when.push(when);
        self
    }

    /// Only requests whose system prompt contains `text`.
    #[must_use]
    pub fn system(self, text: impl Into<String>) -> Self {
        self.when(When::System(text.into()))
    }

    /// Only requests whose newest user text contains `text`.
    #[must_use]
    pub fn last_user(self, text: impl Into<String>) -> Self {
        self.when(When::LastUser(text.into()))
    }

    /// Only requests one of whose user texts contains `text`.
    #[must_use]
    pub fn any_user(self, text: impl Into<String>) -> Self {
        self.when(When::AnyUser(text.into()))
    }

    /// Adds one reply.
    #[must_use]
    pub fn reply(mut self, reply: Reply) -> Self {
        self.replies.push(reply);
        self
    }

    /// Adds replies.
    #[must_use]
    pub fn replies(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.replies.extend(replies);
        self
    }

    /// Sets how the replies are counted through.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Gives the last reply again and again when the replies are used up.
    #[must_use]
    pub const fn repeat_last(mut self) -> Self {
        self.repeat_last = true;
        self
    }

    /// Computes every reply from its request. Replaces the list.
    #[must_use]
    pub fn answer(mut self, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        self.answer = Some(Arc::new(answer));
        self
    }
}

/// One part of an assistant message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Text for the user.
    Text(String),
    /// `text`, `times` times: very large answers without a very large script.
    Repeat {
        /// The piece.
        text: String,
        /// How often.
        times: u64,
    },
    /// `text` again and again until the client goes away. Streaming only.
    Endless(String),
    /// Thinking. OpenAI's format carries it as `reasoning_content`.
    Thinking(String),
    /// A tool call.
    ToolUse {
        /// The tool's name.
        name: String,
        /// Its arguments.
        args: Value,
        /// The call's id. `None`: made from the number of the request and of the block.
        #[serde(default)]
        id: Option<String>,
    },
}

/// How a reply goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An error status in the provider's form, before anything is streamed.
    Http {
        /// 400, 401, 429, 500, 529 …
        status: u16,
        /// The provider's message.
        message: String,
        /// Seconds for a `retry-after` header.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The connection is cut after this many pieces of content.
    Cut {
        /// Pieces of content that still go out.
        after: u64,
    },
    /// Nothing more comes after this many pieces, and the connection stays open.
    Hang {
        /// Pieces of content that still go out.
        after: u64,
    },
    /// The stream carries an error event after this many pieces, then ends.
    Event {
        /// Pieces of content that still go out.
        after: u64,
        /// The provider's error type, such as `overloaded_error`.
        kind: String,
        /// The provider's message.
        message: String,
    },
}

impl Fault {
    /// An HTTP error.
    pub fn http(status: u16, message: impl Into<String>) -> Self {
        Self::Http { status, message: message.into(), retry_after: None }
    }
}

/// One answer of the model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// What the message is made of.
    pub blocks: Vec<Block>,
    /// Token numbers; `None` takes the script's.
    pub usage: Option<Tokens>,
    /// The stop reason in the wire format's own word; `None` is tool use with a tool call, else the end of a turn.
    pub stop: Option<String>,
    /// Goes wrong this way, every time.
    pub fault: Option<Fault>,
    /// The first requests for this reply go wrong in these ways, one each, before it is given.
    pub first: Vec<Fault>,
    /// Waits at this barrier before the first byte.
    pub hold: Option<String>,
    /// Waits at this barrier in mid-stream, after so many pieces of content.
    pub hold_after: Option<(u64, String)>,
    /// Milliseconds before the first byte.
    pub before_ms: u64,
    /// Milliseconds between pieces of content.
    pub between_ms: u64,
    /// Characters per piece of content; 0 is 40.
    pub piece_chars: usize,
}

impl Reply {
    /// A final text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { blocks: vec![Block::Text(text.into())], ..Self::default() }
    }

    /// One tool call.
    pub fn tool(name: impl Into<String>, args: Value) -> Self {
        Self::default().and_tool(name, args)
    }

    /// An HTTP error.
    pub fn error(status: u16, message: impl Into<String>) -> Self {
        Self::default().fault(Fault::http(status, message))
    }

    /// Adds a text.
    #[must_use]
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.block(Block::Text(text.into()))
    }

    /// Adds a tool call.
    #[must_use]
    pub fn and_tool(self, name: impl Into<String>, args: Value) -> Self {
        self.block(Block::ToolUse { name: name.into(), args, id: None })
    }

    /// Adds a block.
    #[must_use]
    pub fn block(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Sets the usage numbers.
    #[must_use]
    pub const fn usage(mut self, tokens: Tokens) -> Self {
        self.usage = Some(tokens);
        self
    }

    /// Sets the stop reason.
    #[must_use]
    pub fn stop(mut self, reason: impl Into<String>) -> Self {
        self.stop = Some(reason.into());
        self
    }

    /// Goes wrong this way.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The first requests for this reply go wrong in these ways, one each.
    #[must_use]
    pub fn first_failing(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.first.extend(faults);
        self
    }

    /// Waits at the barrier `name` before the first byte, until the test releases it.
    #[must_use]
    pub fn hold(mut self, name: impl Into<String>) -> Self {
        self.hold = Some(name.into());
        self
    }

    /// Waits at the barrier `name` in mid-stream, after `pieces` pieces of content.
    #[must_use]
    pub fn hold_after(mut self, pieces: u64, name: impl Into<String>) -> Self {
        self.hold_after = Some((pieces, name.into()));
        self
    }

    /// Delays, in milliseconds: before the first byte, and between pieces of content.
    #[must_use]
    pub const fn paced(mut self, before_ms: u64, between_ms: u64) -> Self {
        self.before_ms = before_ms;
        self.between_ms = between_ms;
        self
    }

    /// Characters per piece of content.
    #[must_use]
    pub const fn pieces_of(mut self, chars: usize) -> Self {
        self.piece_chars = chars;
        self
    }
}
