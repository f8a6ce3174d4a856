//! The shape of the lines of pi that are read, and nothing else of them.
//!
//! Text goes through [`Text`]: JavaScript writes half of a character pair as an escape that is no character, and a redacted or
//! damaged line may hold bytes that are not UTF-8; neither may cost the rest of the line.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use windlass_events::Usage;

/// A string, whatever is in it; what is no character becomes U+FFFD. Any other value is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(v).into_owned()))
            }
            fn visit_str<E>(self, v: &str) -> Result<Text, E> {
                Ok(Text(v.to_owned()))
            }
        }
        d.deserialize_bytes(V)
    }
}

/// A number of tokens: any number, at least 0; `null` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // A float cast saturates, and NaN cannot be written in JSON.
        Ok(Self(Option::<f64>::deserialize(d)?.map_or(0, |n| n.max(0.0) as u64)))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WireUsage {
    input: Count,
    output: Count,
    cache_read: Count,
    cache_write: Count,
    cost: Option<WireCost>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WireCost {
    total: Option<f64>,
}

impl WireUsage {
    /// As one reply of a model. Tokens with a cost of nothing are tokens without a known price.
    pub(super) fn as_usage(&self) -> Usage {
        let total = self.cost.as_ref().and_then(|c| c.total).unwrap_or(0.0);
        let mut usage = Usage {
            input: self.input.0,
            output: self.output.0,
            cache_read: self.cache_read.0,
            cache_write: self.cache_write.0,
            cost_microusd: (total.max(0.0) * 1e6).round() as u64,
            unpriced_tokens: 0,
            turns: 1,
        };
        if total <= 0.0 {
            usage.unpriced_tokens = usage.tokens();
        }
        usage
    }
}

/// `message_end`.
#[derive(Debug, Deserialize)]
pub(super) struct MessageEnd {
    pub(super) message: Message,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Message {
    pub(super) role: Text,
    pub(super) content: Content,
    pub(super) provider: Option<Text>,
    pub(super) model: Option<Text>,
    pub(super) usage: Option<WireUsage>,
    pub(super) stop_reason: Option<Text>,
    pub(super) error_message: Option<Text>,
}

/// The text blocks of a message, one after the other.
#[derive(Debug, Default)]
pub(super) struct Content(pub(super) String);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message's content")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut text = String::new();
                while let Some(block) = seq.next_element::<Block>()? {
                    if block.kind.0 == "text" {
                        if text.is_empty() {
                            text = block.text.0;
                        } else {
                            text.push_str(&block.text.0);
                        }
                    }
                }
                Ok(Content(text))
            }
            fn visit_str<E>(self, v: &str) -> Result<Content, E> {
                Ok(Content(v.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Content::default())
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: Text,
    text: Text,
}

/// The nested event of `message_update`.
#[derive(Debug, Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) delta: Text,
}

/// Every other line that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Other<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) id: Option<Text>,
    pub(super) tool_call_id: Option<Text>,
    pub(super) tool_name: Option<Text>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    pub(super) is_error: Option<bool>,
    pub(super) attempt: Option<f64>,
    pub(super) max_attempts: Option<f64>,
    pub(super) delay_ms: Option<f64>,
    pub(super) error_message: Option<Text>,
    pub(super) command: Option<Text>,
    pub(super) success: Option<bool>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    pub(super) method: Option<Text>,
    pub(super) title: Option<Text>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
}

/// What `tool_execution_end` says of what a tool gave back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolResult {
    pub(super) content: Content,
}

/// What `compaction_end` says of its own use of the model.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CompactionResult {
    pub(super) usage: Option<WireUsage>,
}

/// The arguments that say best what a tool does.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Args {
    pub(super) command: Option<Text>,
    pub(super) path: Option<Text>,
    pub(super) file_path: Option<Text>,
    pub(super) pattern: Option<Text>,
    pub(super) query: Option<Text>,
    pub(super) url: Option<Text>,
}

/// A raw value as text, when it is a string.
pub(super) fn raw_text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_slice::<Text>(raw?.get().as_bytes()).ok().map(|t| t.0)
}
