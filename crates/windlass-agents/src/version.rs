//! Versions of agent programs: three numbers; anything after them is kept out of comparisons.

use std::fmt;

/// A program's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The first thing in the text that looks like `1.2.3` or `1.2`, as programs print it in many ways.
    pub fn find(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == '(' || c == ')' || c == ',')
            .find_map(|word| Self::parse(word.trim_start_matches('v')))
    }

    fn parse(word: &str) -> Option<Self> {
        let core = word.split(['-', '+']).next()?;
        let mut parts = core.split('.');
        let mut next = || parts.next().map(|p| p.parse::<u32>().ok());
        let version = Self(next()??, next()??, next().map_or(Some(0), |p| p)?);
        Some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        assert_eq!(Version::find("0.87.1\n"), Some(Version(0, 87, 1)));
        assert_eq!(Version::find("claude 2.1.330 (Claude Code)"), Some(Version(2, 1, 330)));
        assert_eq!(Version::find("v1.2-rc.1"), Some(Version(1, 2, 0)));
        assert_eq!(Version::find("Warning: old\npi 0.74.2"), Some(Version(0, 74, 2)));
        for none in ["", "1", "one.two", "1.x.3", "99999999999.1.1"] {
            assert_eq!(Version::find(none), None, "{none}");
        }
        assert!(Version(0, 80, 4) > Version(0, 80, 3));
    }
}
