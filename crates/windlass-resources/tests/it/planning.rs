//! Teams, workflows and goals turned into tasks.

use proptest::prelude::*;
use std::collections::HashMap;
use std::fmt::Write as _;
use windlass_events::spec::{Access, GateSource, GateSpec, RuntimeKind, TaskSpec};
use windlass_resources::catalog::Catalog;
use windlass_resources::diag::Diagnostic;
use windlass_resources::plan::{self, Options, Planned};
use windlass_resources::source::{Dialect, Scope, Source};
use windlass_resources::team::Team;
use windlass_resources::workflow::Workflow;

fn source(path: &str) -> Source {
    Source { scope: Scope::User, dialect: Dialect::Windlass, path: path.into() }
}

fn workflow(body: &str) -> Workflow {
    let mut d = Vec::new();
    let w = Workflow::parse(&format!("---\nname: w\n---\n{body}"), "w", source("w.workflow.md"), &mut d);
    w.unwrap_or_else(|| panic!("{d:?}"))
}

fn team(body: &str) -> Team {
    let mut d = Vec::new();
    let t = Team::parse(&format!("---\nname: t\n---\n{body}"), "t", source("t.team.md"), &mut d);
    t.unwrap_or_else(|| panic!("{d:?}"))
}

fn options(gates: &[&str]) -> Options {
    Options {
        gates: gates.iter().map(|g| (*g).to_owned()).collect(),
        project_gates: vec![GateSpec {
            command: "make test".into(),
            source: GateSource::Detected,
            limit_ms: 600_000,
        }],
        repair_rounds: 2,
        ..Options::default()
    }
}

const ALL: &str =
    "- explorer\n- planner\n- executor\n- second: agent=executor\n- verifier\n- test-engineer\n- writer\n";

static CATALOG: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(Catalog::builtin);

fn build(body: &str, options: &Options) -> Result<Planned, Vec<Diagnostic>> {
    plan::build(&team(ALL), &workflow(body), &CATALOG, "GOAL", options)
}

fn show(p: &Planned) -> String {
    let mut out = String::new();
    for (n, g) in p.gates.iter().enumerate() {
        let _ = writeln!(out, "gate {n}: {} ({}, {} s)", g.command, g.source, g.limit_ms / 1000);
    }
    for t in &p.tasks {
        let after: Vec<&str> = t.depends_on.iter().map(|d| d.as_str()).collect();
        let _ = write!(out, "{} {}/{} {} {}", t.id, t.role, t.agent, t.runtime, t.access);
        let _ = write!(out, " after [{}] gates {:?} attempts {}", after.join(" "), t.gates, t.attempts);
        for (flag, set) in [("cold", t.cold), ("check", t.check)] {
            if set {
                let _ = write!(out, " {flag}");
            }
        }
        let _ = writeln!(out);
    }
    let _ = writeln!(
        out,
        "at once {} {:?}, at most {} starts",
        p.limits.run, p.limits.roles, p.worst_case_starts
    );
    for n in &p.notices {
        let _ = writeln!(out, "{}", n.render());
    }
    out
}

#[test]
fn every_shipped_team_plans_in_order() {
    let catalog = Catalog::builtin();
    let mut out = String::new();
    for team in catalog.teams.usable() {
        let workflow = catalog.workflows.get(team.workflow()).unwrap();
        let planned =
            plan::build(team, workflow, &catalog, "mend {goal} it", &options(&["cargo clippy"])).unwrap();
        let mut seen = Vec::new();
        for task in &planned.tasks {
            assert!(task.depends_on.iter().all(|d| seen.contains(d)), "{}", task.id);
            // The goal's own `{goal}` stays as it is: nothing is filled in twice.
            assert!(team.name == "checks" || task.instructions.contains("mend {goal} it"));
            assert!(task.skills.iter().all(|s| planned.skills.contains_key(s)));
            assert!(planned.agents.contains_key(&task.agent));
            seen.push(task.id.clone());
        }
        let reading = ["research", "parallel-research", "review", "checks"].contains(&team.name.as_str());
        let mut starters = planned.tasks.iter().flat_map(TaskSpec::starters);
        assert_eq!(reading, starters.all(|t| t.access == Access::Read), "{}", team.name);
        let _ = writeln!(out, "== {}\n{}", team.name, show(&planned));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn gates_go_to_the_work_they_judge() {
    let mut out = String::new();
    let cases = [
        (
            "a reading check: its nearest writers",
            "## a\nrole: executor\n\nx\n## b\nrole: second\n\nx\n## look\nrole: explorer\ndependsOn: a, b\n\nx\n## v\nrole: verifier\ndependsOn: look\nverify: true\ngate: make lint\ngateTimeout: 20m\n\nx\n",
            &["make lint"][..],
        ),
        (
            "a chain of writers: the last",
            "## a\nrole: executor\n\nx\n## b\nrole: second\ndependsOn: a\n\nx\n## v\nrole: verifier\ndependsOn: b\nverify: true\n\nx\n",
            &[],
        ),
        (
            "a writing check: itself",
            "## a\nrole: executor\n\nx\n## t\nrole: test-engineer\ndependsOn: a\nverify: true\n\nx\n",
            &["user"],
        ),
        (
            "no writer before the check",
            "## a\nrole: explorer\n\nx\n## v\nrole: verifier\ndependsOn: a\nverify: true\ngate: mine\n\nx\n",
            &["user"],
        ),
        (
            "no check: the last writers",
            "## a\nrole: executor\n\nx\n## b\nrole: second\ndependsOn: a\n\nx\n## c\nrole: writer\n\nx\n## d\nrole: explorer\ndependsOn: b\n\nx\n",
            &["user"],
        ),
        (
            "no check, no writer: the last steps",
            "## a\nrole: explorer\n\nx\n## b\nrole: planner\ndependsOn: a\n\nx\n",
            &["user"],
        ),
        (
            "a step's own gate",
            "## a\nrole: executor\ngate: one\ngate: two\n\nx\n## b\nrole: explorer\ndependsOn: a\ngate: three\n\nx\n",
            &[],
        ),
        (
            "a writer that only reads here",
            "## a\nrole: writer\nwrites: false\nrepeat: never\n\nx\n## v\nrole: verifier\ndependsOn: a\nverify: true\nattempts: 7\n\nx\n",
            &[],
        ),
    ];
    for (name, body, gates) in cases {
        let _ = writeln!(out, "== {name}\n{}", show(&build(body, &options(gates)).unwrap()));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn what_is_wrong_is_shown_with_its_place() {
    let cases = [
        "## a\nrole: executor\n\nx\n## a\nrole: executor\n\nx\n",
        "## a\nrole: exectuor\n\nx\n",
        "## build\nrole: executor\n\nx\n## b\nrole: executor\ndependsOn: biuld\n\nx\n",
        "## a\nrole: executor\ndependsOn: c\n\nx\n## b\nrole: executor\ndependsOn: a\n\nx\n## c\nrole: executor\ndependsOn: b\n\nx\n## d\nrole: executor\ndependsOn: c\n\nx\n",
        "## a\nrole: executor\ndependsOn: a\n\nx\n",
        "## a\nrole: executor\nworktree: true\n\nx\n",
        "",
    ];
    let mut out = String::new();
    for body in cases {
        let list = build(body, &Options::default()).unwrap_err();
        let _ = writeln!(out, "{}\n", windlass_resources::diag::render_all(&list));
    }
    let unknown = team("- executor: agent=exekutor\n");
    let list =
        plan::build(&unknown, &workflow("## executor\n\nx\n"), &Catalog::builtin(), "g", &Options::default())
            .unwrap_err();
    let _ = writeln!(out, "{}", windlass_resources::diag::render_all(&list));
    insta::assert_snapshot!(out);
}

#[test]
fn runtimes_models_and_access_follow_their_rules() {
    let catalog = Catalog::builtin();
    let body = "## executor\n\nx\n## explorer\nmodel: step/model\n\nx\n";
    let p = build(
        body,
        &Options {
            runtime: Some(RuntimeKind::Rehearsal),
            default_model: Some("d/m".into()),
            ..Options::default()
        },
    )
    .unwrap();
    assert_eq!((p.tasks[0].runtime, p.tasks[0].model.as_deref()), (RuntimeKind::Rehearsal, Some("d/m")));
    assert_eq!(p.tasks[1].model.as_deref(), Some("step/model"));
    let p = build(body, &Options { model: Some("cli/m".into()), ..Options::default() }).unwrap();
    assert!(p.tasks.iter().all(|t| t.model.as_deref() == Some("cli/m") && t.runtime == RuntimeKind::Pi));
    assert_eq!(
        build(body, &Options { runtime: Some(RuntimeKind::Command), ..Options::default() }).unwrap_err()[0]
            .code,
        "no-command"
    );

    let executor = catalog.agents.get("executor").unwrap();
    let (team, flow) = plan::single(executor, None);
    let p = plan::build(&team, &flow, &catalog, "do it", &options(&[])).unwrap();
    assert_eq!(
        (p.tasks[0].id.as_str(), p.tasks[0].access, p.tasks[0].gates.as_slice()),
        ("01_executor", Access::Write, [0].as_slice())
    );
    let (team, flow) = plan::single(catalog.agents.get("reviewer").unwrap(), None);
    let p = plan::build(&team, &flow, &catalog, "look", &options(&[])).unwrap();
    assert_eq!((p.tasks[0].access, p.tasks[0].cold, p.tasks[0].gates.len()), (Access::Read, false, 0));
    // Who only reads here is not even offered the tools to write.
    let (team, flow) = plan::single(executor, Some("reviewer"));
    let p = plan::build(&team, &flow, &catalog, "look", &options(&[])).unwrap();
    assert!(!p.agents["executor"].tools.as_ref().unwrap().iter().any(|t| t == "edit" || t == "write"));
}

#[test]
fn a_hundred_thousand_steps_are_planned_in_bounded_time() {
    let flow = |edges: &dyn Fn(usize) -> Vec<usize>| {
        let mut w = workflow("## s\nrole: executor\n\nx\n");
        let step = w.steps.remove(0);
        for n in 0..100_000usize {
            let mut s = step.clone();
            s.id = format!("s{n}");
            s.role = if n % 3 == 0 { "executor".into() } else { "verifier".into() };
            s.verify = n % 3 == 2;
            s.depends_on =
                edges(n).into_iter().map(|d| windlass_resources::Text::bare(format!("s{d}"))).collect();
            w.steps.push(s);
        }
        w
    };
    let catalog = Catalog::builtin();
    let chain = flow(&|n| if n == 0 { vec![] } else { vec![n - 1] });
    let p = plan::build(&team(ALL), &chain, &catalog, "g", &options(&["u"])).unwrap();
    assert_eq!((p.tasks.len(), p.gates.len()), (100_000, 2));
    let circle = flow(&|n| vec![(n + 1) % 100_000]);
    let list = plan::build(&team(ALL), &circle, &catalog, "g", &options(&["u"])).unwrap_err();
    assert_eq!((list.len(), list[0].code), (1, "dependency-cycle"));
    let dangling = flow(&|n| vec![n + 1_000_000]);
    assert_eq!(plan::build(&team(ALL), &dangling, &catalog, "g", &options(&["u"])).unwrap_err().len(), 21);
    let mut over = chain.clone();
    over.steps.push(over.steps[0].clone());
    assert_eq!(
        plan::build(&team(ALL), &over, &catalog, "g", &options(&[])).unwrap_err()[0].code,
        "too-many-steps"
    );
    let long = "x".repeat(1000);
    assert_eq!(
        plan::build(
            &team(ALL),
            &{
                let mut w = chain;
                w.steps.iter_mut().for_each(|s| s.task = "{goal}".into());
                w
            },
            &catalog,
            &long,
            &options(&[])
        )
        .unwrap_err()[0]
            .code,
        "too-much-text"
    );
}

#[test]
fn bad_goals_and_gates_are_refused() {
    let body = "## executor\n\nx\n";
    assert_eq!(
        plan::build(
            &team(ALL),
            &workflow(body),
            &Catalog::builtin(),
            &"g".repeat(300 << 10),
            &Options::default()
        )
        .unwrap_err()[0]
            .code,
        "goal-too-long"
    );
    assert_eq!(build(body, &options(&[" "])).unwrap_err()[0].code, "bad-gate");
    let many: Vec<String> = (0..300).map(|n| format!("g{n}")).collect();
    assert_eq!(
        build(body, &Options { gates: many, ..Options::default() }).unwrap_err()[0].code,
        "too-many-gates"
    );
    let catalog = Catalog::builtin();
    let none = plan::build(
        catalog.teams.get("checks").unwrap(),
        catalog.workflows.get("checks").unwrap(),
        &catalog,
        "",
        &Options::default(),
    );
    assert_eq!(none.unwrap_err()[0].code, "no-gates");
}

#[test]
fn everything_shipped_validates() {
    let catalog = Catalog::builtin();
    assert_eq!(windlass_resources::validate::validate(&catalog), []);
}

proptest! {
    #[test]
    fn random_graphs_keep_their_order(n in 1usize..40, edges in proptest::collection::vec((0usize..40, 0usize..40), 0..120), roles in proptest::collection::vec(0usize..4, 40), verify in proptest::collection::vec(any::<bool>(), 40)) {
        let names = ["executor", "explorer", "verifier", "writer"];
        let mut body = String::new();
        for s in 0..n {
            let deps: Vec<String> = edges.iter().filter(|(a, b)| *a % n == s && *b % n < s).map(|(_, b)| format!("s{}", b % n)).collect();
            let _ = write!(body, "## s{s}\nrole: {}\ndependsOn: {}\nverify: {}\n\nx\n", names[roles[s]], deps.join(", "), verify[s]);
        }
        let p = build(&body, &options(&["u"])).unwrap();
        prop_assert_eq!(p.tasks.len(), n);
        let at: HashMap<&str, usize> = p.tasks.iter().enumerate().map(|(n, t)| (t.id.as_str(), n)).collect();
        for (n, t) in p.tasks.iter().enumerate() {
            prop_assert!(t.depends_on.iter().all(|d| at[d.as_str()] < n));
            prop_assert!(t.gates.iter().all(|g| (*g as usize) < p.gates.len()));
            // A cold check is judged by others' gates, and has an author to be cold to.
            prop_assert!(!t.cold || (t.access == Access::Read && t.gates.is_empty()));
            prop_assert!(t.attempts >= 2);
        }
        // What the user typed is always carried by somebody.
        prop_assert!(p.tasks.iter().any(|t| t.gates.contains(&0)));
    }

    #[test]
    fn a_back_edge_is_a_cycle(n in 2usize..30, from in 0usize..30, to in 0usize..30) {
        let (from, to) = (from % n, to % n);
        let mut body = String::new();
        for s in 0..n {
            let mut deps = if s > 0 { vec![format!("s{}", s - 1)] } else { vec![] };
            if s == from.min(to) {
                deps.push(format!("s{}", from.max(to)));
            }
            let _ = write!(body, "## s{s}\nrole: executor\ndependsOn: {}\n\nx\n", deps.join(", "));
        }
        let list = build(&body, &Options::default()).unwrap_err();
        prop_assert_eq!(list[0].code, "dependency-cycle");
    }

    #[test]
    fn any_file_is_read_without_a_panic(text in any::<String>(), body in "(## [a-z]{1,3}\n|role: [a-z]{1,3}\n|dependsOn: [a-c,]{0,4}\n|gate: .{0,9}\n|- [a-z]: .{0,9}\n|\n|```\n|.{0,9}\n){0,12}") {
        for t in [text, body.clone(), format!("---\nname: x\n---\n{body}"), format!("---\n{body}\n---\n")] {
            let mut d = Vec::new();
            let w = Workflow::parse(&t, "w", source("w"), &mut d);
            let team = Team::parse(&t, "t", source("t"), &mut d);
            let _ = windlass_resources::agent::Agent::parse(&t, "a", source("a"), &mut d);
            let _ = windlass_resources::skill::Skill::parse(&t, "s", source("s"), &mut d);
            if let (Some(w), Some(team)) = (w, team) {
                let _ = plan::build(&team, &w, &CATALOG, "g", &Options::default());
            }
        }
    }
}
