//! Runs for the tests of this crate and for the screens in `docs/screens/`.

use windlass_api::growth::{GrowthDoc, GrowthKind, PartsDoc};
use windlass_api::response::{PlanDoc, PlannedTask};
use windlass_api::status::*;
use windlass_events::event::WaitFor;
use windlass_events::spec::GateSource;
use windlass_events::{
    AttemptStatus, Millis, Proof, RunId, RunStatus, RuntimeKind, TaskId, TaskStatus, Usage,
};

/// The instant at which the samples are looked at: four minutes and twelve seconds after their start.
pub(crate) const NOW: Millis = START + 252_000;
/// 2026-01-31 14:00:00 UTC.
pub(crate) const START: Millis = 1_769_868_000_000;

pub(crate) fn task_id(text: &str) -> TaskId {
    TaskId::parse(text).unwrap()
}

fn usage(input: u64, output: u64, cache: u64, microusd: u64) -> UsageDoc {
    UsageDoc::from(Usage {
        input,
        output,
        cache_read: cache,
        cost_microusd: microusd,
        turns: 4,
        ..Usage::default()
    })
}

pub(crate) fn attempt(n: u32, from: i64, to: Option<i64>, usage: UsageDoc) -> AttemptDoc {
    AttemptDoc {
        n,
        status: if to.is_some() { AttemptStatus::Completed } else { AttemptStatus::Running },
        runtime: RuntimeKind::Pi,
        model: Some("anthropic/claude-sonnet-4-5".into()),
        started_at: START + from * 1_000,
        ended_at: to.map(|t| START + t * 1_000),
        exit: to.map(|_| 0),
        error_class: None,
        session: None,
        usage,
    }
}

pub(crate) fn gate(command: &str, before: Option<Light>, after: Option<Light>) -> GateDoc {
    GateDoc { command: command.into(), source: GateSource::Detected, before, after, left_out: false }
}

fn task(id: &str, step: &str, role: &str, after: &[&str]) -> TaskDoc {
    let mut task = TaskDoc::new(task_id(id), step, role, RuntimeKind::Pi);
    task.depends_on = after.iter().map(|a| task_id(a)).collect();
    task.attempts_allowed = 3;
    task
}

/// Created, nothing started: what the start card shows.
pub(crate) fn created() -> StatusDoc {
    let goal = "Fix the off-by-one in the tokenizer so that the parser tests pass";
    let mut run = RunDoc::new(RunId::parse("k7m2qd").unwrap(), goal, "default", START);
    run.team = Some("default".into());
    run.shape_reason = "as your `run.team` says".into();
    run.shape_other = "--team NAME".into();
    run.status = RunStatus::Running;
    run.cwd = "/home/ada/src/parser".into();
    run.base = Some("3f2a91c04bd1".into());
    run.worst_case_starts = 12;
    run.budget = Some(BudgetDoc {
        usd: CapDoc { cap: Some(5.0), reserved: 0.0, spent: Some(0.0) },
        wall_ms: CapDoc { cap: Some(7_200_000), reserved: 0, spent: None },
        ..BudgetDoc::default()
    });
    run.gates = vec![
        gate("cargo test", Some(Light::Red), None),
        gate("cargo clippy --quiet", Some(Light::Green), None),
    ];
    run.programs = vec![ProgramDoc {
        runtime: RuntimeKind::Pi,
        path: "/home/ada/.local/bin/pi".into(),
        version: "0.87.1".into(),
        model: Some("anthropic/claude-sonnet-4-5".into()),
    }];
    run.tree = Some(TreeDoc { root: "/home/ada/src/parser".into(), git: true, branch: Some("main".into()) });
    let tasks = vec![
        task("01_explore", "explore", "explorer", &[]),
        task("02_plan", "plan", "planner", &["01_explore"]),
        task("03_execute", "execute", "executor", &["02_plan"]),
        task("04_review", "review", "reviewer", &["02_plan"]),
        task("05_verify", "verify", "verifier", &["03_execute", "04_review"]),
    ];
    StatusDoc::new(run, tasks)
}

/// The same run whose plan step has become two tasks, one of them done.
pub(crate) fn grown() -> StatusDoc {
    let mut doc = created();
    let parent = task_id("02_plan");
    doc.tasks[1].status = TaskStatus::Running;
    doc.tasks[1].growth = Some(GrowthDoc { kind: GrowthKind::Plan, max: 12, needed: None, over: None });
    doc.tasks[1].parts = Some(PartsDoc { revision: 1, total: 2, completed: 1, open: 1, needed: 2 });
    for (item, status) in [("parser", TaskStatus::Completed), ("printer", TaskStatus::Running)] {
        let mut part = task(&format!("02_plan.{item}"), &format!("The {item}"), "executor", &[]);
        part.parent = Some(parent.clone());
        part.item = Some(item.into());
        part.phase = Some("build".into());
        part.status = status;
        doc.tasks.push(part);
    }
    doc
}

/// What a dry run of the same says.
pub(crate) fn plan() -> PlanDoc {
    let task = |id: &str, role: &str, after: &[&str], writes| PlannedTask {
        id: task_id(id),
        role: role.into(),
        agent: role.into(),
        runtime: "pi".into(),
        models: vec!["anthropic/claude-sonnet-4-5".into()],
        depends_on: after.iter().map(|a| task_id(a)).collect(),
        attempts: if writes { 4 } else { 2 },
        writes,
        growth: None,
    };
    let mut tasks = vec![
        task("01_explore", "explorer", &[], false),
        task("02_plan", "planner", &["01_explore"], false),
        task("03_execute", "executor", &["02_plan"], true),
        task("04_review", "reviewer", &["02_plan"], false),
        task("05_verify", "verifier", &["03_execute", "04_review"], false),
    ];
    tasks[3].agent = "security-reviewer".into();
    tasks[2].models.push("openai/gpt-5".into());
    PlanDoc {
        shape: "default: as your `run.team` says · 5 agent starts · --team NAME for another".into(),
        tasks,
        gates: vec!["cargo test (detected)".into(), "cargo clippy --quiet (--gate)".into()],
        worst_case_starts: 12,
        caps: vec!["$5.00".into(), "10M tokens where no price is known".into(), "2h".into()],
        notices: vec![
            "nothing of this repository's gates, agents and config is used until you trust it: `windlass trust`".into(),
        ],
    }
}

fn finish(task: &mut TaskDoc, proof: Proof, from: i64, to: i64, usage: UsageDoc) {
    task.status = TaskStatus::Completed;
    task.proof = proof;
    task.attempts = vec![attempt(1, from, Some(to), usage)];
    task.result = Some(ResultDoc { path: format!("results/{}.md", task.id), bytes: 2_140, redacted: false });
}

/// Two workers live, two tasks finished.
pub(crate) fn running() -> StatusDoc {
    let mut doc = created();
    let [explore, plan, execute, review, _] = &mut doc.tasks[..] else { unreachable!() };
    finish(explore, Proof::Unproven, 2, 43, usage(9_400, 1_200, 3_100, 21_000));
    finish(plan, Proof::Unproven, 44, 92, usage(12_000, 2_900, 6_000, 34_000));
    execute.status = TaskStatus::Running;
    execute.attempts = vec![attempt(1, 93, None, usage(18_000, 6_400, 41_000, 112_000))];
    execute.live = Some(LiveDoc {
        tool: Some("bash cargo test -p tokenizer".into()),
        tool_since: Some(NOW - 12_000),
        last_line: Some("The span of a string literal ends one byte late; mending `Cursor::bump`.".into()),
        state: LiveState::Tool,
    });
    review.status = TaskStatus::Running;
    review.attempts = vec![attempt(1, 95, None, usage(8_000, 900, 12_000, 18_000))];
    review.live = Some(LiveDoc {
        tool: None,
        tool_since: None,
        last_line: Some("Reading src/cursor.rs and its callers.".into()),
        state: LiveState::Thinking,
    });
    sum(&mut doc);
    doc
}

fn sum(doc: &mut StatusDoc) {
    doc.run.usage = doc.tasks.iter().fold(UsageDoc::ZERO, |all, t| all.plus(&t.usage()));
    doc.run.updated_at = NOW;
}

/// Completed and proven.
pub(crate) fn proven() -> StatusDoc {
    let mut doc = running();
    let [_, _, execute, review, verify] = &mut doc.tasks[..] else { unreachable!() };
    finish(execute, Proof::Proven, 93, 201, usage(24_000, 9_100, 88_000, 190_000));
    execute.evidence = vec![EvidenceDoc {
        kind: "gate".into(),
        command: Some("cargo test".into()),
        exit: Some(0),
        before: Some(Light::Red),
        after: Some(Light::Green),
        ms: Some(3_400),
        path: Some("attempts/03_execute.gate0.1".into()),
        n: 1,
        tail: Some("test result: ok. 41 passed".into()),
    }];
    finish(review, Proof::Proven, 95, 180, usage(9_000, 1_900, 14_000, 31_000));
    finish(verify, Proof::Proven, 202, 251, usage(7_000, 1_100, 9_000, 24_000));
    for task in &mut doc.tasks {
        task.live = None;
        task.proof = Proof::Proven;
    }
    doc.run.status = RunStatus::Completed;
    doc.run.proof = Proof::Proven;
    doc.run.ended_at = Some(NOW);
    doc.run.changes = Some(ChangesDoc { files: 2, insertions: 18, deletions: 7 });
    for gate in &mut doc.run.gates {
        gate.after = Some(Light::Green);
    }
    sum(&mut doc);
    doc
}

/// Completed, nothing checked it, at a cost that is not known.
pub(crate) fn unproven() -> StatusDoc {
    let mut doc = proven();
    doc.tasks = vec![doc.tasks.remove(2)];
    let task = &mut doc.tasks[0];
    task.proof = Proof::Unproven;
    task.depends_on.clear();
    task.evidence.clear();
    task.attempts[0].usage.cost_usd = None;
    doc.run.team = None;
    doc.run.workflow = "solo".into();
    doc.run.shape_reason = "one piece of work".into();
    doc.run.proof = Proof::Unproven;
    doc.run.gates.clear();
    sum(&mut doc);
    doc
}

/// Failed: the gate stays red after two repairs.
pub(crate) fn failed() -> StatusDoc {
    let mut doc = proven();
    doc.tasks.truncate(3);
    let error =
        ErrorDoc::new("gate", "gate `cargo test` is still red after 2 repairs").task(task_id("03_execute"));
    let task = &mut doc.tasks[2];
    task.status = TaskStatus::Failed;
    task.proof = Proof::Refuted;
    task.error = Some(error.clone());
    task.evidence[0].exit = Some(101);
    task.evidence[0].after = Some(Light::Red);
    task.evidence[0].n = 3;
    task.evidence[0].tail = Some(
        "\u{1b}[1m---- tokens::string_span stdout ----\u{1b}[0m\n\nassertion `left == right` failed\n  left: 6\n right: \
         5\nnote: run with `RUST_BACKTRACE=1`\n"
            .into(),
    );
    task.attempts = vec![
        attempt(1, 93, Some(140), usage(24_000, 9_100, 88_000, 190_000)),
        attempt(2, 144, Some(180), usage(4_000, 2_100, 60_000, 60_000)),
        attempt(3, 184, Some(248), usage(4_500, 2_400, 66_000, 64_000)),
    ];
    doc.run.status = RunStatus::Failed;
    doc.run.proof = Proof::Refuted;
    doc.run.error = Some(error);
    doc.run.gates[0].after = Some(Light::Red);
    sum(&mut doc);
    doc
}

/// Blocked at the money cap, with work left.
pub(crate) fn blocked() -> StatusDoc {
    let mut doc = running();
    doc.tasks[3].status = TaskStatus::Completed;
    doc.tasks[3].proof = Proof::Unproven;
    doc.tasks[2].status = TaskStatus::Queued;
    for task in &mut doc.tasks {
        task.live = None;
        for attempt in &mut task.attempts {
            attempt.status = AttemptStatus::Completed;
            attempt.ended_at = attempt.ended_at.or(Some(NOW - 1_000));
        }
    }
    doc.tasks[2].attempts[0].usage.cost_usd = Some(4.87);
    sum(&mut doc);
    doc.run.status = RunStatus::Blocked;
    doc.run.changes = Some(ChangesDoc { files: 1, insertions: 4, deletions: 1 });
    doc.run.error = Some(
        ErrorDoc::new("cap", "the cap of $5.00 is reached; nothing more starts")
            .hint("give it more: windlass resume k7m2qd --budget-usd 10"),
    );
    doc.run.next = vec!["windlass resume k7m2qd --budget-usd 10".into(), "windlass diff k7m2qd".into()];
    doc
}

/// Waits for an answer.
pub(crate) fn waiting() -> StatusDoc {
    let mut doc = running();
    doc.tasks[3].status = TaskStatus::Waiting;
    doc.run.status = RunStatus::Waiting;
    doc.run.waiting = Some(WaitingDoc {
        wait: WaitFor::Answer,
        task: Some(task_id("04_review")),
        since: NOW - 30_000,
        until: None,
        question: Some("Two call sites rely on the old span. Change them too?".into()),
        options: vec!["yes".into(), "no".into()],
        answer_with: Some("windlass answer k7m2qd/04_review TEXT".into()),
        on: None,
    });
    doc
}

/// A run with every text as hostile as `text`, and every other field in use.
pub(crate) fn hostile(text: &str) -> Vec<StatusDoc> {
    let mut docs = vec![created(), running(), proven(), unproven(), failed(), blocked(), waiting(), grown()];
    for doc in &mut docs {
        let run = &mut doc.run;
        run.goal = text.into();
        run.team = run.team.as_ref().map(|_| text.into());
        run.workflow = text.into();
        run.shape_reason = text.into();
        run.cwd = text.into();
        run.base = Some(text.into());
        run.notices = vec![text.into(); 3];
        run.folder = Some(FolderDoc { path: text.into(), contents: vec![text.into(); 2] });
        run.next = if run.next.is_empty() { Vec::new() } else { vec![text.into(); 3] };
        for gate in &mut run.gates {
            gate.command = text.into();
        }
        for program in &mut run.programs {
            program.version = text.into();
            program.model = Some(text.into());
        }
        if let Some(tree) = &mut run.tree {
            tree.root = text.into();
            tree.branch = Some(text.into());
        }
        if let Some(waiting) = &mut run.waiting {
            waiting.until = Some(if text.len().is_multiple_of(2) { i64::MIN } else { i64::MAX });
            waiting.question = Some(text.into());
            waiting.options = vec![text.into(); 2];
            waiting.answer_with = Some(text.into());
        }
        for error in run.error.iter_mut().chain(doc.tasks.iter_mut().filter_map(|t| t.error.as_mut())) {
            error.message = text.into();
            error.hint = Some(text.into());
            error.kind = text.into();
        }
        for task in &mut doc.tasks {
            task.step = text.into();
            task.role = text.into();
            task.agent = text.into();
            task.note = Some(text.into());
            task.item = task.item.as_ref().map(|_| text.into());
            task.phase = task.phase.as_ref().map(|_| text.into());
            if let Some(growth) = &mut task.growth {
                growth.over = Some(text.into());
                growth.kind = GrowthKind::List;
                growth.max = u32::MAX;
            }
            if let Some(live) = &mut task.live {
                live.tool = Some(text.into());
                live.last_line = Some(text.into());
            }
            if let Some(result) = &mut task.result {
                result.path = text.into();
            }
            for evidence in &mut task.evidence {
                evidence.command = Some(text.into());
                evidence.tail = Some(text.into());
                evidence.path = Some(text.into());
            }
        }
    }
    docs
}
