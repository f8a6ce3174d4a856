//! One reply as a sequence of steps, independent of the wire format. Lazy, so that a large answer costs no memory.

use super::script::{Block, Reply, Tokens};
use serde_json::Value;

/// A reply on its way into a wire format.
pub(super) struct Message {
    /// The number of the request, from which ids are made.
    pub(super) n: u64,
    pub(super) model: String,
    pub(super) usage: Tokens,
    pub(super) stop: Option<String>,
    pub(super) blocks: Vec<Block>,
    piece_chars: usize,
}

/// One step of a stream.
pub(super) enum Step {
    Head,
    Start(usize),
    /// A piece of the block's text, thinking or tool arguments: what faults and pauses count.
    Piece(usize, String),
    Stop(usize),
    /// The stop reason and the usage numbers.
    Finish,
    End,
}

impl Message {
    pub(super) fn new(n: u64, model: String, reply: &Reply) -> Self {
        Self {
            n,
            model,
            usage: reply.usage.unwrap_or_default(),
            stop: reply.stop.clone(),
            blocks: reply.blocks.clone(),
            piece_chars: if reply.piece_chars == 0 { 40 } else { reply.piece_chars },
        }
    }

    pub(super) fn calls_tools(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, Block::ToolUse { .. }))
    }

    /// The id of the tool call in this block.
    pub(super) fn call_id(&self, prefix: &str, block: usize) -> String {
        match &self.blocks[block] {
            Block::ToolUse { id: Some(id), .. } => id.clone(),
            _ => format!("{prefix}{:04}_{block}", self.n),
        }
    }

    /// Whether some block never ends.
    pub(super) fn endless(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, Block::Endless(_)))
    }

    /// The whole text of a block that ends.
    pub(super) fn whole(block: &Block) -> String {
        match block {
            Block::Text(text) | Block::Thinking(text) | Block::Endless(text) => text.clone(),
            Block::Repeat { text, times } => text.repeat(usize::try_from(*times).unwrap_or(usize::MAX)),
            Block::ToolUse { args, .. } => arguments(args),
        }
    }

    /// All steps of the stream, in order.
    pub(super) fn steps(&self) -> Box<dyn Iterator<Item = Step> + Send> {
        let chars = self.piece_chars;
        let blocks = self.blocks.clone().into_iter().enumerate().flat_map(move |(index, block)| {
            std::iter::once(Step::Start(index))
                .chain(pieces(block, chars).map(move |piece| Step::Piece(index, piece)))
                .chain(std::iter::once(Step::Stop(index)))
        });
        Box::new(std::iter::once(Step::Head).chain(blocks).chain([Step::Finish, Step::End]))
    }
}

fn pieces(block: Block, chars: usize) -> Box<dyn Iterator<Item = String> + Send> {
    match block {
        Block::Text(text) | Block::Thinking(text) => Box::new(split(text, chars)),
        Block::Repeat { text, times } => Box::new((0..times).flat_map(move |_| split(text.clone(), chars))),
        Block::Endless(text) => {
            Box::new(std::iter::repeat_with(move || split(text.clone(), chars)).flatten())
        }
        Block::ToolUse { args, .. } => Box::new(split(arguments(&args), chars)),
    }
}

fn arguments(args: &Value) -> String {
    if args.is_null() { "{}".to_owned() } else { args.to_string() }
}

/// `text` in pieces of `chars` characters. An empty endless text still gives a piece, so that it stays endless.
fn split(text: String, chars: usize) -> impl Iterator<Item = String> + Send {
    let mut at = 0;
    let mut first = true;
    std::iter::from_fn(move || {
        if at == text.len() && !(first && text.is_empty()) {
            return None;
        }
        first = false;
        let rest = &text[at..];
        let end = rest.char_indices().nth(chars).map_or(rest.len(), |(end, _)| end);
        at += end;
        Some(rest[..end].to_owned())
    })
}
