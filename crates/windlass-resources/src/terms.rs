//! Words and phrases in a goal, found at word boundaries: "pr" is not in "improve".

/// Whether `term` stands in `text` by itself. Both are lower case already. A term ending in `*` matches the beginning of a word.
pub(crate) fn has(text: &str, term: &str) -> bool {
    let (term, open) = term.strip_suffix('*').map_or((term, false), |t| (t, true));
    if term.is_empty() {
        return false;
    }
    let first_is_word = term.chars().next().is_some_and(char::is_alphanumeric);
    let last_is_word = term.chars().next_back().is_some_and(char::is_alphanumeric);
    text.match_indices(term).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        (!first_is_word || !before.is_some_and(char::is_alphanumeric))
            && (open || !last_is_word || !after.is_some_and(char::is_alphanumeric))
    })
}

/// The terms of a list that stand in a text.
pub(crate) fn found<'t>(text: &str, terms: &[&'t str]) -> Vec<&'t str> {
    terms.iter().copied().filter(|t| has(text, t)).collect()
}

/// Lines that begin with a list mark, without it.
pub(crate) fn list_items(text: &str) -> Vec<&str> {
    text.lines().filter_map(|l| list_item(l.trim())).collect()
}

fn list_item(line: &str) -> Option<&str> {
    let bullet = ['-', '*', '•']
        .iter()
        .find_map(|c| line.strip_prefix(*c))
        .filter(|r| r.starts_with(char::is_whitespace));
    let item = bullet.or_else(|| numbered(line))?.trim();
    (!item.is_empty()).then_some(item)
}

/// The text of a `1.` or `1)` line.
pub(crate) fn numbered(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 3 {
        return None;
    }
    line[digits..].strip_prefix(['.', ')']).filter(|r| r.starts_with(char::is_whitespace))
}

pub(crate) const REVIEW: &[&str] =
    &["review", "audit", "security", "vulnerability", "diff", "pr", "pull request"];
pub(crate) const RESEARCH: &[&str] = &[
    "research",
    "investigate",
    "compare",
    "analyze",
    "analyse",
    "document",
    "docs",
    "explain",
    "architecture",
    "đọc sâu",
    "source",
    "projects",
];
pub(crate) const DEEP_RESEARCH: &[&str] = &[
    "đọc sâu",
    "deep read",
    "deep research",
    "source audit",
    "multiple projects",
    "các project",
    "pi-*",
    "source/",
    "@source",
];
pub(crate) const FAST_FIX: &[&str] =
    &["quick fix", "fast-fix", "small bug", "typo", "one-line", "minor", "lint"];
pub(crate) const IMPLEMENTATION: &[&str] = &[
    "implement",
    "refactor",
    "migrate",
    "feature",
    "tests",
    "test",
    "integration",
    "upgrade",
    "build",
    "create",
    "add",
    "fix",
    "update",
    "sửa",
    "thêm",
    "cập nhật",
    "kiểm thử",
];
pub(crate) const RISK: &[&str] = &[
    "migration",
    "refactor",
    "large",
    "multiple",
    "parallel",
    "concurrent",
    "risky",
    "critical",
    "nhiều file",
    "nhiều task",
];
pub(crate) const ACTION: &[&str] = &[
    "implement",
    "refactor",
    "migrate",
    "fix",
    "add",
    "update",
    "test",
    "review",
    "research",
    "analyze",
    "document",
    "docs",
    "sửa",
    "thêm",
    "cập nhật",
    "kiểm thử",
    "nghiên cứu",
    "phân tích",
    "viết docs",
];
pub(crate) const TASK_LIST: &[&str] =
    &["các task", "danh sách task", "todo", "tasks sau", "task list", "làm lần lượt"];

/// Keywords by which a user calls for a way of working.
pub(crate) const CALLS: &[(&str, &[&str])] = &[
    ("implementation", &["autoteam", "team:", "implementation-team", "pi-crew", "dùng team", "use team"]),
    ("review", &["review-team", "security review", "code review"]),
    ("fast-fix", &["fast-fix", "quick fix"]),
    ("research", &["research-team", "deep research"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_stand_by_themselves() {
        assert!(!has("improve the prose", "pr") && has("look at pr 12", "pr") && has("pr", "pr"));
        assert!(!has("additional latest", "add") && !has("latest", "test"));
        assert!(has("read pi-mono", "pi-*") && !has("api-*", "pi-*"));
        assert!(has("in source/lib", "source/") && has("đọc sâu mã", "đọc sâu"));
        assert!(has("team: do it", "team:") && !has("", "x") && !has("x", ""));
    }

    #[test]
    fn list_lines() {
        assert_eq!(list_items("do:\n - a\n* b\n1. c\n2) d\n-e\n- \n1234. f"), ["a", "b", "c", "d"]);
    }
}
