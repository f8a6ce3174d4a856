//! Steps that become more than one task: plans, lists, the best of several, loops, other workflows.

use std::fmt::Write as _;
use std::path::Path;
use windlass_events::spec::{Access, TaskSpec};
use windlass_events::{Grow, Join};
use windlass_resources::catalog::{Catalog, ProjectUse};
use windlass_resources::diag::{Diagnostic, render_all};
use windlass_resources::places::Places;
use windlass_resources::plan::{self, Options, Planned};

const TEAM: &str = "- explorer\n- planner\n- executor\n- reviewer\n- verifier\n";

/// Files of a user: a team `t` and these workflows by name.
struct User(tempfile::TempDir);

impl User {
    fn new(workflows: &[(&str, &str)]) -> Self {
        let user = Self(tempfile::tempdir().unwrap());
        user.write("teams/t.team.md", &format!("---\nname: t\ndefaultWorkflow: w\n---\n{TEAM}"));
        for (name, body) in workflows {
            user.write(&format!("workflows/{name}.workflow.md"), &format!("---\nname: {name}\n---\n{body}"));
        }
        user
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn catalog(&self) -> Catalog {
        let places = Places { windlass_home: Some(self.0.path().to_owned()), ..Places::default() };
        Catalog::load(&places, ProjectUse::Untrusted)
    }

    fn build(&self, gates: &[&str]) -> Result<Planned, Vec<Diagnostic>> {
        let catalog = self.catalog();
        let options = Options {
            gates: gates.iter().map(|g| (*g).to_owned()).collect(),
            repair_rounds: 2,
            ..Options::default()
        };
        let (team, flow) = (catalog.teams.get("t").unwrap(), catalog.workflows.get("w").unwrap());
        plan::build(team, flow, &catalog, "GOAL", &options)
    }

    /// What `validate` says, paths made short.
    fn validate(&self) -> String {
        let list = windlass_resources::validate::validate(&self.catalog());
        render_all(&list).replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn show(planned: &Planned) -> String {
    let mut out = String::new();
    for t in &planned.tasks {
        let after: Vec<&str> = t.depends_on.iter().map(|d| d.as_str()).collect();
        let _ =
            write!(out, "{} {} {} after [{}] gates {:?}", t.id, t.role, t.access, after.join(" "), t.gates);
        let _ = write!(out, " attempts {}", t.attempts);
        for (label, list) in [("reads", t.reads.join(" ")), ("output", t.output.clone().unwrap_or_default())]
        {
            if !list.is_empty() {
                let _ = write!(out, " {label} {list}");
            }
        }
        if t.flow.approve {
            out.push_str(" approve");
        }
        if let Some(rounds) = t.flow.rounds {
            let _ = write!(out, " rounds {rounds}");
        }
        match &t.flow.grow {
            Some(Grow::Plan(p)) => {
                let _ = write!(out, "\n  plans {} tasks, {} again", p.max, p.replans);
                for (name, role) in &p.roles {
                    let _ = write!(
                        out,
                        "\n    {name}: {} gates {:?} attempts {}",
                        role.access, role.gates, role.attempts
                    );
                }
            }
            Some(Grow::Each(e)) => {
                let over = e.over.as_ref().map_or("nothing", |o| o.as_str());
                let _ = write!(out, "\n  each of {over}, {} at most, {:?}", e.max, e.join);
                let _ = write!(
                    out,
                    "\n    gates {:?} attempts {} rounds {:?}",
                    e.task.gates, e.task.attempts, e.task.flow.rounds
                );
            }
            None => {}
        }
        out.push('\n');
    }
    let _ = writeln!(out, "at most {} starts", planned.worst_case_starts);
    out
}

#[test]
fn a_plan_has_a_template_for_every_role_and_its_writers_carry_the_gates() {
    let user = User::new(&[(
        "w",
        "## assess\nrole: planner\nadaptive: true\nmax-tasks: 5\n\nplan {goal}\n\n## verify\nrole: verifier\ndependsOn: assess\nverify: true\n\nlook\n",
    )]);
    assert_eq!(user.validate(), "");
    let planned = user.build(&["make test"]).unwrap();
    insta::assert_snapshot!(show(&planned));
    let cold: Vec<bool> = planned.tasks.iter().map(|t| t.cold).collect();
    assert_eq!(cold, [false, true], "what is planned may write, so the verifier is cold");
    let Some(Grow::Plan(spec)) = &planned.tasks[0].flow.grow else { panic!() };
    assert!(spec.roles.values().all(|t| planned.agents.contains_key(&t.agent)));
    assert!(spec.roles["executor"].skills.iter().all(|s| planned.skills.contains_key(s)));
    assert!(
        planned.agents["executor"].tools.iter().flatten().any(|t| t == "edit"),
        "it writes when it is planned"
    );
}

#[test]
fn a_planner_that_is_told_to_only_read_plans_readers() {
    let user = User::new(&[("w", "## assess\nrole: planner\nadaptive: true\nwrites: false\n\nplan\n")]);
    let planned = user.build(&[]).unwrap();
    let Some(Grow::Plan(spec)) = &planned.tasks[0].flow.grow else { panic!() };
    assert!(spec.roles.values().all(|t| t.access == Access::Read));
}

#[test]
fn lists_loops_and_the_best_of_several() {
    let user = User::new(&[(
        "w",
        "## scan\nrole: explorer\noutput: files\n\nlist\n\n\
         ## mend\nrole: executor\nforEach: files\nmax: 30\njoin: 3\nloop: 4\ngate: make one\noutput: mended\n\nmend {item}\n\n\
         ## design\nrole: reviewer\nbest_of: 3\njudge: planner\ndependsOn: scan\ngate: make look\noutput: design.md\n\ndesign {goal}\n\n\
         ## do\nrole: executor\nreads: design.md, mended\ndependsOn: design, mend\napprove: true\nloop: 3\ngate: make test\n\ndo\n",
    )]);
    assert_eq!(user.validate(), "");
    let planned = user.build(&[]).unwrap();
    insta::assert_snapshot!(show(&planned));
    let judge = &planned.tasks[3];
    assert!(judge.instructions.contains("design GOAL") && judge.instructions.contains("3 agents"));
    let each = |t: &TaskSpec| match &t.flow.grow {
        Some(Grow::Each(each)) => (each.to_the_end, each.join, each.task.instructions.clone()),
        _ => panic!("{t:?}"),
    };
    assert_eq!(each(&planned.tasks[2]), (true, Join::AtLeast(1), "design GOAL".to_owned()));
    assert_eq!(each(&planned.tasks[1]), (false, Join::AtLeast(3), "mend {item}".to_owned()));
    assert!(planned.tasks[1].instructions.is_empty() && planned.tasks[1].gates.is_empty());
}

#[test]
fn a_workflow_stands_in_the_place_of_a_step() {
    let user = User::new(&[
        (
            "w",
            "## begin\nrole: explorer\n\nx\n\n\
             ## ship\nworkflow: inner\ndependsOn: begin\noutput: result.md\n\nship {goal} well\n\n\
             ## end\nrole: verifier\ndependsOn: ship\nreads: ship, ship-notes.md\n\ny\n",
        ),
        (
            "inner",
            "## a\nrole: planner\noutput: notes.md\n\nfirst {goal}\n\n## b\nrole: executor\ndependsOn: a\nreads: notes.md\n\nthen {goal}\n\n\
             ## deep\nworkflow: innermost\ndependsOn: b\n\n## also\nrole: reviewer\n\nx\n\n## last\nrole: verifier\ndependsOn: deep, also\n\nx\n",
        ),
        (
            "innermost",
            "## list\nrole: explorer\n\n{goal}\n\n## each\nrole: reviewer\nforEach: list\n\n{item}\n",
        ),
    ]);
    assert_eq!(user.validate(), "");
    let planned = user.build(&[]).unwrap();
    insta::assert_snapshot!(show(&planned));
    let told: Vec<&str> = planned.tasks.iter().map(|t| t.instructions.as_str()).collect();
    assert_eq!(told[1..3], ["first ship GOAL well", "then ship GOAL well"]);
}

#[test]
fn what_cannot_be_is_refused_with_file_and_line() {
    let long: String = (0..5).map(|n| format!("## s{n}\nworkflow: d{}\n\n", n + 1)).collect();
    let cases: &[&[(&str, &str)]] = &[
        &[("w", "## a\nrole: explorer\n\nx\n\n## b\nrole: executor\nforEach: aa\n\nx\n")],
        &[("w", "## a\nrole: explorer\nforEach: a\n\nx\n")],
        &[(
            "w",
            "## l\nrole: explorer\n\nx\n\n## a\nrole: explorer\nforEach: l\n\nx\n\n## b\nrole: explorer\nforEach: a\n\nx\n",
        )],
        &[("w", "## l\nrole: explorer\n\nx\n\n## a\nrole: explorer\nforEach: l\nmax: 3\njoin: 5\n\nx\n")],
        &[("w", "## a\nrole: explorer\njoin: some\n\nx\n")],
        &[("w", "## a\nrole: explorer\nmaxTasks: 3\n\nx\n")],
        &[("w", "## a\nrole: planner\nadaptive: true\nbestOf: 3\njudge: planner\n\nx\n")],
        &[("w", "## a\nrole: planner\nadaptive: yes please\n\nx\n")],
        &[("w", "## a\nrole: explorer\nbestOf: 3\n\nx\n")],
        &[("w", "## a\nrole: explorer\nbestOf: 3\njudge: plannr\n\nx\n")],
        &[("w", "## a\nrole: executor\nbestOf: 3\njudge: planner\n\nx\n")],
        &[("w", "## a\nrole: explorer\nloop: 3\n\nx\n")],
        &[("w", "## a\nrole: planner\nadaptive: true\nloop: 3\n\nx\n")],
        &[("w", "## a\nworkflow: innr\n\nx\n"), ("inner", "## x\nrole: explorer\n\nx\n")],
        &[
            ("w", "## a\nworkflow: inner\nrole: explorer\ngate: x\n\nx\n"),
            ("inner", "## x\nrole: explorer\n\nx\n"),
        ],
        &[("w", "## a\nworkflow: inner\n"), ("inner", "## x\nworkflow: w\n")],
        &[("w", "## a\nworkflow: inner\n"), ("inner", "## x\nrole: nobody\n\nx\n")],
        &[
            ("w", "## z\nrole: explorer\n\nx\n\n## a\nworkflow: inner\n"),
            ("inner", "## x\nrole: explorer\ndependsOn: z\n\nx\n"),
        ],
        &[
            ("w", "## a\nworkflow: inner\noutput: o\n"),
            ("inner", "## x\nrole: explorer\n\nx\n\n## y\nrole: explorer\n\nx\n"),
        ],
        &[
            ("w", "## s\nworkflow: d1\n"),
            ("d1", "## s\nworkflow: d2\n"),
            ("d2", "## s\nworkflow: d3\n"),
            ("d3", "## s\nworkflow: d4\n"),
            ("d4", "## s\nrole: explorer\n\nx\n"),
        ],
        &[("w", &long)],
        &[("w", "## a\nrole: explorer\nforeach: b\nmaxx: 3\n\nx\n\n## b\nrole: explorer\n\nx\n")],
    ];
    let mut out = String::new();
    for case in cases {
        let user = User::new(case);
        let said = user.validate();
        let _ = writeln!(out, "{said}\n");
        // What `validate` refuses is refused before a run, too.
        let errors = said.contains("error:");
        if errors && let Ok(flow) = user.catalog().workflows.get("w") {
            let catalog = user.catalog();
            let built =
                plan::build(catalog.teams.get("t").unwrap(), flow, &catalog, "g", &Options::default());
            assert!(built.is_err(), "{said}");
        }
    }
    insta::assert_snapshot!(out);
    // Whether a writer has a gate depends on who asks: it is known when a run is made.
    let user = User::new(&[("w", "## a\nrole: executor\nloop: 3\n\nx\n")]);
    assert_eq!(user.validate(), "");
    assert_eq!(user.build(&[]).unwrap_err()[0].code, "loop-without-gate");
    assert_eq!(user.build(&["make"]).unwrap().tasks[0].flow.rounds, Some(2));
}

#[test]
fn workflows_in_each_other_are_bounded() {
    // 60^3 steps, and then some.
    let many = |name: &str| (0..60).map(|n| format!("## s{n}\nworkflow: {name}\n\n")).collect::<String>();
    let leaf: String = (0..60).map(|n| format!("## s{n}\nrole: explorer\n\n{{goal}}{{goal}}\n\n")).collect();
    let user = User::new(&[("w", &many("x")), ("x", &many("y")), ("y", &leaf)]);
    let list = user.build(&[]).unwrap_err();
    assert!(list.iter().any(|d| d.code == "too-many-steps"), "{}", render_all(&list));
    // Text that doubles with every step and every level.
    let text = "{goal} ".repeat(4_000);
    let body = |name: &str| format!("## s\nworkflow: {name}\n\n{text}");
    let user =
        User::new(&[("w", &body("x")), ("x", &body("y")), ("y", &format!("## s\nrole: explorer\n\n{text}"))]);
    let list = user.build(&[]).unwrap_err();
    assert!(list.iter().any(|d| d.code == "too-many-steps"), "{}", render_all(&list));
}

#[test]
fn one_file_alone_is_checked_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.workflow.md");
    std::fs::write(
        &file,
        "---\nname: x\n---\n## a\nworkflow: elsewhere\n\n## b\nrole: r\nforEach: aa\n\nx\n",
    )
    .unwrap();
    let found = windlass_resources::validate::path(Path::new(&file));
    assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), ["no-list"]);
}
