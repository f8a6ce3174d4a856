//! Provider packages of the user's Pi settings, in a folder that is only imagined.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use windlass_agents::pi::{Files, ProviderExtensions, provider_extensions};

struct Disk(BTreeMap<PathBuf, Vec<u8>>);

impl Files for Disk {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.get(path).cloned()
    }
    fn list(&self, path: &Path) -> Option<Vec<(String, bool)>> {
        let mut names = BTreeMap::new();
        for file in self.0.keys() {
            if let Ok(rest) = file.strip_prefix(path) {
                let mut parts = rest.components();
                if let Some(first) = parts.next() {
                    names.insert(first.as_os_str().to_string_lossy().into_owned(), parts.next().is_some());
                }
            }
        }
        (!names.is_empty()).then(|| names.into_iter().collect())
    }
}

const PROVIDER: &str = "export default (pi) => pi.registerProvider('x', {});";
const TOOL: &str = "export default (pi) => pi.registerTool({});";

fn disk(files: &[(&str, &str)]) -> Disk {
    Disk(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
}

fn find(settings: &str, files: &[(&str, &str)]) -> ProviderExtensions {
    provider_extensions(Some(settings), Path::new("/h/.pi/agent"), Path::new("/h"), &disk(files))
}

fn paths(found: &ProviderExtensions) -> Vec<&str> {
    found.found.iter().map(|f| f.path.to_str().unwrap()).collect()
}

#[test]
fn packages_of_every_kind_of_source_are_found() {
    let found = find(
        r#"{"packages":["npm:@me/prov@1.2.0","npm:plain","git:github.com/o/r@v1","https://host.org/o/s.git","git@host.org:o/t.git","../../loc","~/home","/abs/one.ts","npm:tools"]}"#,
        &[
            (
                "/h/.pi/agent/npm/node_modules/@me/prov/package.json",
                r#"{"name":"@me/prov","pi":{"extensions":["./dist/index.js"]}}"#,
            ),
            ("/h/.pi/agent/npm/node_modules/@me/prov/dist/index.js", PROVIDER),
            ("/h/.pi/agent/npm/node_modules/plain/extensions/a.ts", TOOL),
            ("/h/.pi/agent/npm/node_modules/plain/extensions/b/index.ts", PROVIDER),
            ("/h/.pi/agent/git/github.com/o/r/index.ts", PROVIDER),
            ("/h/.pi/agent/git/host.org/o/s/index.ts", PROVIDER),
            ("/h/.pi/agent/git/host.org/o/t/index.ts", PROVIDER),
            ("/h/loc/extensions/p.ts", PROVIDER),
            ("/h/home/extensions/p.mjs", PROVIDER),
            ("/abs/one.ts", PROVIDER),
            ("/h/.pi/agent/npm/node_modules/tools/extensions/t.ts", TOOL),
            ("/h/.pi/agent/npm/node_modules/tools/node_modules/dep/x.js", PROVIDER),
        ],
    );
    assert_eq!(
        paths(&found),
        [
            "/h/.pi/agent/npm/node_modules/@me/prov/dist/index.js",
            "/h/.pi/agent/npm/node_modules/plain/extensions/b/index.ts",
            "/h/.pi/agent/git/github.com/o/r/index.ts",
            "/h/.pi/agent/git/host.org/o/s/index.ts",
            "/h/.pi/agent/git/host.org/o/t/index.ts",
            "/h/loc/extensions/p.ts",
            "/h/home/extensions/p.mjs",
            "/abs/one.ts",
        ]
    );
    assert_eq!(found.notices, Vec::<String>::new());
    assert_eq!(found.args()[..2], ["-e", "/h/.pi/agent/npm/node_modules/@me/prov/dist/index.js"]);
}

#[test]
fn a_provider_in_an_imported_file_brings_the_entries() {
    let found = find(
        r#"{"packages":["npm:p"]}"#,
        &[
            ("/h/.pi/agent/npm/node_modules/p/package.json", r#"{"pi":{"extensions":["./src/main.ts"]}}"#),
            ("/h/.pi/agent/npm/node_modules/p/src/main.ts", "import './prov';"),
            ("/h/.pi/agent/npm/node_modules/p/src/prov.ts", PROVIDER),
        ],
    );
    assert_eq!(paths(&found), ["/h/.pi/agent/npm/node_modules/p/src/main.ts"]);
}

#[test]
fn a_users_filter_is_kept() {
    let files = [
        ("/h/.pi/agent/npm/node_modules/p/extensions/a.ts", PROVIDER),
        ("/h/.pi/agent/npm/node_modules/p/extensions/b.ts", PROVIDER),
    ];
    for (filter, expected) in [
        (r#"[]"#, &[][..]),
        (r#"["!extensions/a.ts"]"#, &["b"][..]),
        (r#"["extensions/*.ts","-extensions/b.ts"]"#, &["a"]),
        (r#"["+extensions/b.ts"]"#, &["b"]),
        (r#"["./**/a.ts"]"#, &["a"]),
        (r#"["other/*.ts"]"#, &[]),
    ] {
        let found = find(
            &format!(r#"{{"packages":[{{"source":"npm:p","extensions":{filter},"skills":[]}}]}}"#),
            &files,
        );
        let names: Vec<_> =
            found.found.iter().map(|f| f.path.file_stem().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, expected, "{filter}");
    }
}

#[test]
fn extensions_named_in_the_settings_count_and_ours_never() {
    let found = find(
        r#"{"extensions":["ext/p.ts","ext/t.ts","!ext/x.ts"],"packages":["/ours",{"source":5},"npm:gone"]}"#,
        &[
            ("/h/.pi/agent/ext/p.ts", PROVIDER),
            ("/h/.pi/agent/ext/t.ts", TOOL),
            ("/ours/package.json", r#"{"name":"@windlass/pi"}"#),
            ("/ours/extensions/x.ts", PROVIDER),
        ],
    );
    assert_eq!(paths(&found), ["/h/.pi/agent/ext/p.ts"]);
    assert_eq!(found.notices.len(), 1, "{:?}", found.notices);
}

#[test]
fn hostile_names_stay_below_the_package_folders() {
    let found = find(
        r#"{"packages":["npm:../../../etc","npm:","git:../../x","git:","npm:/abs","git:host/../../../../x"]}"#,
        &[("/etc/index.ts", PROVIDER), ("/abs/index.ts", PROVIDER), ("/h/.pi/x/index.ts", PROVIDER)],
    );
    assert!(found.found.is_empty(), "{found:?}");
}

#[test]
fn settings_that_cannot_be_read_are_not_taken_as_empty() {
    assert_eq!(find("{", &[]).notices.len(), 1);
    assert_eq!(find(r#"{"packages":"x"}"#, &[]).notices.len(), 1);
    let none = provider_extensions(None, Path::new("/a"), Path::new("/h"), &disk(&[]));
    assert_eq!(none, ProviderExtensions::default());
}

#[test]
fn what_is_too_big_to_search_is_loaded_and_said() {
    let mut files: Vec<(String, String)> = (0..500)
        .map(|n| (format!("/h/.pi/agent/npm/node_modules/p/extensions/f{n:03}.ts"), TOOL.to_owned()))
        .collect();
    files.push((
        "/h/.pi/agent/npm/node_modules/p/package.json".into(),
        r#"{"pi":{"extensions":["./extensions/f000.ts"]}}"#.into(),
    ));
    let files: Vec<_> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let found = find(r#"{"packages":["npm:p"]}"#, &files);
    assert_eq!((found.found.len(), found.notices.len()), (1, 1));
}
