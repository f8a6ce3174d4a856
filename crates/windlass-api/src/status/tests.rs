//! The documents keep their names and rules.

use super::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use windlass_events::ErrorClass;

fn id(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

fn task_id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

/// A document in which every optional part is present.
fn full() -> StatusDoc {
    let mut run = RunDoc::new(id("k7m2qd"), "mend the parser", "fast-fix", 1_000);
    run.team = Some("fast-fix".into());
    run.status = RunStatus::Waiting;
    run.proof = Proof::Proven;
    run.ended_at = Some(9_000);
    run.base = Some("3f2a91c".into());
    run.budget = Some(BudgetDoc {
        usd: CapDoc { cap: Some(5.0), reserved: 0.5, spent: None },
        ..BudgetDoc::default()
    });
    run.waiting = Some(WaitingDoc {
        wait: WaitFor::Answer,
        task: Some(task_id("01_plan")),
        since: 2_000,
        until: Some(3_000),
        question: Some("Which?".into()),
        options: vec!["a".into(), "b".into()],
        answer_with: Some("windlass answer k7m2qd/01_plan TEXT".into()),
        on: None,
    });
    run.error = Some(ErrorDoc::new("gate", "red").hint("look").task(task_id("01_plan")));
    run.changes = Some(ChangesDoc { files: 1, insertions: 2, deletions: 3 });
    run.gates = vec![GateDoc {
        command: "cargo test".into(),
        source: GateSource::Detected,
        before: Some(Light::Red),
        after: None,
        left_out: false,
    }];
    run.programs = vec![ProgramDoc {
        runtime: RuntimeKind::Pi,
        path: "/usr/bin/pi".into(),
        version: "0.87.1".into(),
        model: None,
    }];
    run.tree = Some(TreeDoc { root: "/src".into(), git: true, branch: Some("main".into()) });
    let mut task = TaskDoc::new(task_id("01_plan"), "plan", "planner", RuntimeKind::Pi);
    task.attempts = vec![AttemptDoc {
        n: 1,
        status: AttemptStatus::Failed,
        runtime: RuntimeKind::Pi,
        model: None,
        started_at: 1,
        ended_at: Some(2),
        exit: Some(0),
        error_class: Some(ErrorClass::Provider.as_str().into()),
        session: None,
        usage: UsageDoc { input: 7, cost_usd: None, ..UsageDoc::ZERO },
    }];
    task.result = Some(ResultDoc { path: "results/01_plan.md".into(), bytes: 12, redacted: false });
    task.evidence = vec![EvidenceDoc {
        kind: "gate".into(),
        command: Some("cargo test".into()),
        exit: Some(101),
        before: Some(Light::Green),
        after: Some(Light::Unclear),
        ms: Some(10),
        path: None,
        n: 1,
        tail: Some("boom".into()),
    }];
    task.worktree = Some(WorktreeDoc { path: "/w".into(), branch: None, base: None });
    task.live = Some(LiveDoc {
        tool: Some("edit".into()),
        tool_since: Some(4),
        last_line: None,
        state: LiveState::Tool,
    });
    StatusDoc::new(run, vec![task])
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

fn has(value: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(value.get(key).is_some(), "`{key}` is missing in {value}");
    }
}

#[test]
fn every_document_reads_what_it_writes() {
    round_trip(&full());
    round_trip(&ListDoc { runs: vec![ListedRun::from(&full().run)] });
    round_trip(&DaemonDoc::default());
    round_trip(&DaemonDoc {
        running: true,
        pid: Some(7),
        version: Some("0.1.0".into()),
        socket: Some("/run/s".into()),
        runs: 2,
    });
    round_trip(&FailedDoc { error: ErrorDoc::new("not_found", "no run `x`").hint("windlass list") });
    for light in [Light::Green, Light::Red, Light::Unclear] {
        assert_eq!(serde_json::to_value(light).unwrap(), json!(light.as_str()));
    }
}

#[test]
fn the_promised_names_are_there_even_when_nothing_is_known() {
    let empty = StatusDoc::new(
        RunDoc::new(id("k7m2qd"), "", "solo", 0),
        vec![TaskDoc::new(task_id("01_x"), "x", "executor", RuntimeKind::Command)],
    );
    for doc in [empty, full()] {
        let v = serde_json::to_value(&doc).unwrap();
        assert_eq!(v["schema"], 1);
        has(
            &v["run"],
            "id goal team workflow status proof created_at updated_at ended_at cwd base worst_case_starts usage \
             budget waiting error next shape_reason notices changes gates",
        );
        has(&v["run"]["usage"], "input output cache_read cache_write cost_usd turns");
        has(
            &v["tasks"][0],
            "id step role agent runtime status depends_on attempts result evidence worktree error live",
        );
    }
    let v = serde_json::to_value(full()).unwrap();
    has(&v["run"]["budget"], "usd tokens attempts");
    has(&v["run"]["budget"]["usd"], "cap reserved spent");
    has(&v["run"]["waiting"], "for task since until question options answer_with");
    has(&v["run"]["error"], "kind message hint task");
    has(&v["run"]["changes"], "files insertions deletions");
    has(&v["run"]["gates"][0], "command source before after");
    has(
        &v["tasks"][0]["attempts"][0],
        "n status runtime model started_at ended_at exit error_class session usage",
    );
    has(&v["tasks"][0]["result"], "path bytes");
    has(&v["tasks"][0]["evidence"][0], "kind command exit before after ms path");
    has(&v["tasks"][0]["live"], "tool tool_since last_line state");
    has(
        &serde_json::to_value(ListedRun::from(&full().run)).unwrap(),
        "id goal team status proof created_at cwd",
    );
    has(&serde_json::to_value(DaemonDoc::default()).unwrap(), "running pid version socket runs");
    let failed = serde_json::to_value(FailedDoc { error: ErrorDoc::new("x", "y") }).unwrap();
    has(&failed["error"], "kind message hint");
}

#[test]
fn an_unknown_cost_is_null_and_stays_so_in_sums() {
    let unknown = UsageDoc::from(Usage { input: 5, unpriced_tokens: 5, ..Usage::default() });
    assert_eq!(serde_json::to_value(unknown).unwrap()["cost_usd"], Value::Null);
    let known = UsageDoc::from(Usage { output: 5, cost_microusd: 12_300, ..Usage::default() });
    assert_eq!(known.cost_usd, Some(0.0123));
    assert_eq!(known.plus(&unknown).cost_usd, None);
    assert_eq!(known.plus(&unknown).tokens(), 10);
    assert_eq!(UsageDoc::ZERO.plus(&known), known);
    assert_eq!(full().tasks[0].usage().cost_usd, None);
    let read: UsageDoc = serde_json::from_value(json!({"input": 3})).unwrap();
    assert_eq!(read.cost_usd, None, "a cost that is not told is not known");
}

#[test]
fn newer_fields_and_words_are_passed_over() {
    let mut v = serde_json::to_value(full()).unwrap();
    v["run"]["mood"] = json!("calm");
    v["tasks"][0]["live"]["state"] = json!("dreaming");
    for added in [
        "shape_reason",
        "shape_other",
        "notices",
        "changes",
        "gates",
        "programs",
        "tree",
        "require_proof",
        "undone",
        "folder",
    ] {
        v["run"].as_object_mut().unwrap().remove(added);
    }
    for added in ["proof", "attempts_allowed", "note"] {
        v["tasks"][0].as_object_mut().unwrap().remove(added);
    }
    let doc: StatusDoc = serde_json::from_value(v).unwrap();
    assert_eq!(doc.tasks[0].live.as_ref().unwrap().state, LiveState::Unknown);
    assert_eq!(doc.tasks[0].proof, Proof::None);
    assert_eq!(doc.run.changes, None);
}

#[test]
fn a_failure_keeps_its_class_and_hint() {
    let failure = Failure::new(ErrorClass::Auth, "no key").hint("pi login");
    let doc = ErrorDoc::from(&failure);
    assert_eq!((doc.kind.as_str(), doc.hint.as_deref()), ("auth", Some("pi login")));
    assert_eq!(ErrorDoc::from(&Failure::new(ErrorClass::Auth, "no key")).hint, None);
}
