//! A user and a repository, and their output without what differs from machine to machine.

use windlass_testkit::{TempRepo, Windlass};

/// A user in a new repository with a Makefile, whose `make test` is found as a gate.
pub(crate) fn user() -> (TempRepo, Windlass) {
    let repo = TempRepo::new();
    repo.write("Makefile", "test:\n\ttrue\n");
    repo.commit("begin");
    let windlass = Windlass::in_repo(env!("CARGO_BIN_EXE_windlass"), &repo);
    (repo, windlass)
}

/// A command's whole output: what was typed, standard output, standard error where there is any, the exit code.
pub(crate) fn said(windlass: &Windlass, args: &[&str]) -> String {
    let output = windlass.run(args);
    let code = output.code.map_or_else(|| "a signal".to_owned(), |c| c.to_string());
    let mut text = format!("$ windlass {}\n{}", args.join(" "), output.out());
    if !output.err().is_empty() {
        text.push_str("--- standard error\n");
        text.push_str(&output.err());
    }
    text.push_str(&format!("--- exit {code}"));
    plain(windlass, &text)
}

/// A text without the names of temporary folders.
pub(crate) fn plain(windlass: &Windlass, text: &str) -> String {
    text.replace(&windlass.home().display().to_string(), "HOME")
        .replace(&windlass.user_home().display().to_string(), "~")
        .replace(&windlass.cwd().display().to_string(), "REPO")
}
