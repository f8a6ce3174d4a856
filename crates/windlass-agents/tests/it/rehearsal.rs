//! Rehearsals: played in a real directory, and understood.

use crate::support::{pieces, request, short, whole};
use std::path::Path;
use std::time::Duration;
use windlass_agents::rehearsal::{Heard, Scene, Script, Sleeper, play};
use windlass_agents::{Launch, Stdin, WorkerEnd, WorkerEvent, adapter};
use windlass_events::{ErrorClass, Outcome, RuntimeKind};

const REHEARSAL: RuntimeKind = RuntimeKind::Rehearsal;

#[derive(Default)]
struct NoTime {
    slept: Duration,
    heard: Vec<Heard>,
    hung: bool,
}

impl Sleeper for NoTime {
    fn sleep(&mut self, time: Duration) -> Option<Heard> {
        self.slept += time;
        self.heard.pop()
    }
    fn hang(&mut self) {
        self.hung = true;
    }
}

fn played(script: &str, scene: &Scene, cwd: &Path, time: &mut NoTime) -> (i32, Vec<u8>) {
    let mut out = Vec::new();
    let code = play(&Script::parse(script).unwrap(), scene, cwd, &mut out, time);
    (code, out)
}

fn scene(step: &str, attempt: u32) -> Scene {
    Scene {
        step: step.into(),
        role: "executor".into(),
        agent: "executor".into(),
        attempt,
        prompt: "fix the sum".into(),
    }
}

const FIX: &str = r#"{"version":1,"scenes":[
  {"when":{"step":"fix","attempt":2},"do":[{"answer":"second"}]},
  {"when":{"step":"fix","prompt_has":"sum"},"do":[
     {"say":"Looking for it."},
     {"tool":{"name":"read","summary":"src/sum.txt","ms":300}},
     {"write":{"path":"new/dir/note.txt","content":"hello\n"}},
     {"edit":{"path":"sum.txt","find":"1 - 1","replace":"1 + 1"}},
     {"edit":{"path":"sum.txt","find":"absent","replace":""}},
     {"run":{"command":["sh","-c","grep -q '1 + 1' sum.txt"]}},
     {"run":{"command":["sh","-c","exit 4"]}},
     {"usage":{"input":1200,"output":80}},{"usage":{"input":10,"cache_read":5}},
     {"answer":"It adds now."}]},
  {"when":{"step":"limit"},"do":[{"fail":{"class":"rate_limit","message":"slow down"}}]},
  {"when":{"step":"crash"},"do":[{"exit":3}]},
  {"when":{"step":"hang"},"do":["hang"]},
  {"when":{"step":"hear"},"do":[{"sleep_ms":50},{"await_steer":{"ms":5000}},{"answer":"heard"}]},
  {"when":{"step":"mute"},"do":[]}]}"#;

#[test]
fn a_scene_really_happens_and_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sum.txt"), "1 - 1").unwrap();
    let mut time = NoTime::default();
    let (code, out) = played(FIX, &scene("fix", 1), dir.path(), &mut time);
    assert_eq!((code, time.slept), (0, Duration::from_millis(300)));
    assert_eq!(std::fs::read_to_string(dir.path().join("sum.txt")).unwrap(), "1 + 1");
    assert_eq!(std::fs::read_to_string(dir.path().join("new/dir/note.txt")).unwrap(), "hello\n");
    let end = WorkerEnd::exited(code);
    let (events, ending) = whole(REHEARSAL, &out, &end);
    let folder = dir.path().canonicalize().unwrap();
    insta::assert_snapshot!(short(&events, &ending).replace(folder.to_str().unwrap(), "[folder]"));
    for size in [1, 7, 64] {
        assert_eq!(pieces(REHEARSAL, &out, &[size], true, &end), (events.clone(), ending.clone()));
    }
    let (_, out) = played(FIX, &scene("fix", 2), dir.path(), &mut time);
    assert_eq!(whole(REHEARSAL, &out, &end).1.result.as_deref(), Some(&b"second"[..]));
}

#[test]
fn every_way_to_end_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    for (step, code, outcome, class) in [
        ("limit", 0, Outcome::ProviderError, Some(ErrorClass::RateLimit)),
        ("crash", 3, Outcome::Exit(3), Some(ErrorClass::Exit)),
        ("mute", 0, Outcome::EmptyOutput, Some(ErrorClass::EmptyOutput)),
        ("no such scene", 0, Outcome::ProviderError, Some(ErrorClass::BadRequest)),
    ] {
        let (exit, out) = played(FIX, &scene(step, 1), dir.path(), &mut NoTime::default());
        assert_eq!(exit, code, "{step}");
        let ending = whole(REHEARSAL, &out, &WorkerEnd::exited(exit)).1;
        assert_eq!((ending.outcome, ending.failure.map(|f| f.class)), (outcome, class), "{step}");
        assert_eq!(ending.model.as_deref(), Some("rehearsal"));
    }
    let mut time = NoTime::default();
    played(FIX, &scene("hang", 1), dir.path(), &mut time);
    assert!(time.hung);
}

#[test]
fn a_person_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let mut time =
        NoTime { heard: vec![Heard { id: "r-1".into(), text: "the moon".into() }], ..NoTime::default() };
    let (_, out) = played(FIX, &scene("hear", 1), dir.path(), &mut time);
    let (events, _) = whole(REHEARSAL, &out, &WorkerEnd::exited(0));
    assert!(events.contains(&WorkerEvent::SteerAnswered { id: "r-1".into(), error: None }));
}

#[test]
fn nothing_is_written_outside_the_directory() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("repo");
    std::fs::create_dir(&dir).unwrap();
    std::os::unix::fs::symlink(outer.path(), dir.join("out")).unwrap();
    std::fs::write(outer.path().join("secret"), "1 - 1").unwrap();
    std::os::unix::fs::symlink(outer.path().join("secret"), dir.join("link")).unwrap();
    for path in ["../x", "/tmp/x-windlass", "a/../../x", "out/x", "out/new/x", "link", "", ".", ".."] {
        let script = serde_json::json!({"version": 1, "scenes": [{"do": [
            {"write": {"path": path, "content": "bad"}}, {"edit": {"path": path, "find": "1 - 1", "replace": "bad"}}]}]});
        let (_, out) = played(&script.to_string(), &scene("x", 1), &dir, &mut NoTime::default());
        let (events, _) = whole(REHEARSAL, &out, &WorkerEnd::exited(0));
        let ends: Vec<_> = events
            .iter()
            .filter_map(|e| match e {
                WorkerEvent::ToolEnd { ok, output, .. } => Some(*ok || output.is_empty()),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [false, false], "{path}: refused, with the reason");
    }
    let mut left: Vec<_> = std::fs::read_dir(outer.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["repo", "secret"]);
    assert_eq!(std::fs::read_to_string(outer.path().join("secret")).unwrap(), "1 - 1");
}

#[test]
fn it_is_started_with_its_prompt_and_hears_through_standard_input() {
    let rehearsal = adapter(REHEARSAL).unwrap();
    let Launch::Start(plan) = rehearsal.launch(&request()).unwrap() else { panic!("nothing is started") };
    let Stdin::OpenWith(first) = plan.stdin else { panic!("closed") };
    assert_eq!(first, b"{\"text\":\"# Task\\nMend it.\",\"type\":\"prompt\"}\n");
    assert!(plan.env.contains(&("WINDLASS_ROLE".into(), "executor".into())));
    assert_eq!(plan.close_stdin_on, [b"{\"type\":\"end\"".to_vec()]);
}
