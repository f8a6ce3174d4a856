//! The program's own pages: version, completions, manual, reference, and the page of formats.

use crate::world::user;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

#[test]
fn the_reference_pages_are_what_the_program_says() {
    let (repo, windlass) = user();
    let folder = repo.beside().join("pages");
    windlass.run(["__docs".as_ref(), folder.as_os_str()]).expect_code(0);
    for name in ["cli.md", "config.md", "config.schema.json"] {
        let made = std::fs::read_to_string(folder.join(name)).unwrap();
        let kept = std::fs::read_to_string(docs().join("reference").join(name)).unwrap();
        assert!(made == kept, "docs/reference/{name} is stale: run `cargo xtask generate`");
    }
}

/// Every example of the page of formats, as a file of the path that its fence names.
#[test]
fn every_example_of_the_formats_is_valid() {
    let (repo, windlass) = user();
    let page = std::fs::read_to_string(docs().join("formats.md")).unwrap();
    let mut rest = page.as_str();
    let mut count = 0;
    while let Some((_, after)) = rest.split_once("```") {
        let (head, after) = after.split_once('\n').unwrap();
        let (body, after) = after.split_once("\n```").unwrap();
        rest = after;
        let path = head.split_once("path=").unwrap_or_else(|| panic!("an example without a path: {head}")).1;
        windlass.write_home(path.trim(), format!("{body}\n"));
        count += 1;
    }
    assert!(count >= 6, "{count}");
    let output = windlass.run(["validate"]);
    assert!(
        output.code == Some(0) && output.out().starts_with("nothing is wrong"),
        "{}{}",
        output.out(),
        output.err()
    );
    let files: Vec<_> =
        ["agents", "teams", "workflows", "skills/api-style"].map(|f| windlass.home().join(f)).into();
    let output = windlass
        .run(std::iter::once("validate".into()).chain(files.into_iter().map(PathBuf::into_os_string)));
    assert!(output.code == Some(0) && output.out().starts_with("nothing is wrong"), "{}", output.out());
    drop(repo);
}

#[test]
fn version_completions_and_manual() {
    let (_repo, windlass) = user();
    let doc = windlass.json(["version", "--json"]);
    assert_eq!(doc["version"], env!("CARGO_PKG_VERSION"));
    for key in ["protocol", "vocabulary", "fold", "store", "worker"] {
        assert!(doc[key].is_u64(), "{doc}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = windlass.run(["completions", shell]).expect_code(0).out();
        assert!(script.contains("recommend") && !script.contains("__rehearse\n"), "{shell}");
    }
    windlass.run(["completions", "tcsh"]).expect_code(2);
    let page = windlass.run(["man"]).expect_code(0).out();
    for part in [".TH windlass 1", "windlass config set", "EXIT STATUS", "WINDLASS_HOME"] {
        assert!(page.contains(part), "{part}");
    }
}
