//! Loops, the best of several, and workflows in workflows.

use crate::{World, of_type, states, task};

#[test]
fn a_loop_ends_with_its_gate_and_at_its_cap() {
    for (rounds, code) in [(4, 0), (2, 1)] {
        let world = World::new();
        world.agent("digger", "echo x >>dug.txt", "writes: true");
        world.user.team(
            "dig",
            &["digger"],
            "",
            &format!("## dig\nrole: digger\nloop: {rounds}\ngate: test $(wc -l <dug.txt) -ge 3\n\ndig\n"),
        );
        let output = world.user.run(["run", "--team", "dig", "go"]).expect_code(code);
        let status = world.user.status("last");
        let dig = task(&status, "01_dig");
        assert_eq!(world.log("01_dig").0, rounds.min(3), "{status:#}");
        if code == 0 {
            assert_eq!(
                (dig["status"].as_str(), status["run"]["proof"].as_str()),
                (Some("completed"), Some("proven"))
            );
        } else {
            let said = dig["error"]["message"].as_str().unwrap();
            assert!(said.contains("after 1 repair round"), "{said}");
            assert!(output.err().contains("dug.txt"), "{}", output.err());
        }
    }
}

#[test]
fn a_loop_without_a_gate_is_refused_before_anything_starts() {
    let world = World::new();
    world.agent("digger", "echo x", "writes: true");
    world.user.team("dig", &["digger"], "", "## dig\nrole: digger\nloop: 3\n\ndig\n");
    let output = world.user.run(["run", "--team", "dig", "go"]).expect_code(2);
    for words in ["dig.workflow.md:", "`loop` ends when gates are", "gate: make test"] {
        assert!(output.err().contains(words), "{}", output.err());
    }
    assert_eq!(world.read("log"), "");
    world.user.run(["run", "--team", "dig", "--gate", "true", "go"]).expect_code(0);
}

#[test]
fn the_judge_sees_all_that_passed_and_its_answer_is_the_steps() {
    let world = World::new();
    let script = "n=${WINDLASS_TASK##*.}\n[ \"$n\" != 2 ] || exit 3\n[ \"$n\" != 3 ] || wait_for slow\necho \"idea $n\"";
    world.agent("thinker", script, "writes: false");
    world.agent(
        "judge",
        "echo \"the best: $(printf '%s' \"$TOLD\" | grep '^idea' | tail -1)\"",
        "writes: false",
    );
    world.user.team(
        "think",
        &["thinker", "judge"],
        "maxConcurrency: 3",
        "## design\nrole: thinker\nbestOf: 3\njudge: judge\nattempts: 1\noutput: design.md\n\nthink about {goal}\n\n\
         ## after\nrole: judge\ndependsOn: design\n\ngo on\n",
    );
    let run = world.user.detach(["--team", "think", "cheese"]);
    world.user.wait_for(&run, "the first idea and the failed one", |events| {
        of_type(events, "task.completed").len() == 1 && of_type(events, "task.failed").len() == 1
    });
    // The first is not enough: the rest is heard.
    world.set("slow", "");
    let status = world.user.wait_end(&run);
    assert_eq!(status["run"]["status"], "completed", "{:#}", status["run"]);
    assert_eq!(
        states(&status),
        [
            ("01_design-try", "completed"),
            ("02_design", "completed"),
            ("03_after", "completed"),
            ("01_design-try.1", "completed"),
            ("01_design-try.2", "failed"),
            ("01_design-try.3", "completed"),
        ]
    );
    let told = world.read("told.02_design.1");
    for words in ["3 agents", "think about cheese", "idea 1", "idea 3"] {
        assert!(told.contains(words), "{words} is not in\n{told}");
    }
    let tried = world.read("told.01_design-try.1.1");
    assert_eq!(tried, world.read("told.01_design-try.3.1"), "all are told the same");
    assert!(world.read("told.03_after.1").contains("the best: idea 3"), "{}", world.read("told.03_after.1"));
}

#[test]
fn when_none_passes_there_is_nothing_to_judge() {
    let world = World::new();
    world.agent("thinker", "echo idea", "writes: false");
    world.agent("judge", "echo judged", "writes: false");
    world.user.team(
        "think",
        &["thinker", "judge"],
        "",
        "## design\nrole: thinker\nbestOf: 2\njudge: judge\ngate: test -e nowhere\n\nthink\n",
    );
    world.user.run(["run", "--team", "think", "cheese"]).expect_code(1);
    let status = world.user.status("last");
    assert_eq!(task(&status, "02_design")["status"], "skipped");
    let said = task(&status, "01_design-try")["error"]["message"].as_str().unwrap();
    assert!(said.starts_with("0 of 2 completed, 1 must"), "{said}");
    assert_eq!(world.log("02_design"), (0, 0));
}

#[test]
fn a_workflow_in_a_workflow_runs_in_its_place() {
    let world = World::new();
    world.agent("worker", "echo \"$WINDLASS_STEP did: $(printf '%s' \"$TOLD\" | head -1)\"", "writes: false");
    world.user.write_home(
        "workflows/inner.workflow.md",
        "---\nname: inner\ndescription: d\n---\n## first\nrole: worker\noutput: notes\n\nfirst {goal}\n\n\
         ## second\nrole: worker\ndependsOn: first\nreads: notes\n\nsecond {goal}\n",
    );
    world.user.team(
        "outer",
        &["worker"],
        "",
        "## begin\nrole: worker\n\nbegin\n\n## ship\nworkflow: inner\ndependsOn: begin\n\nship {goal}\n\n\
         ## end\nrole: worker\ndependsOn: ship\n\nend\n",
    );
    let graph = world.user.run(["graph", "outer"]).expect_code(0).out();
    assert!(graph.contains("ship-first") && graph.contains("ship-second"), "{graph}");
    let output = world.user.run(["run", "--team", "outer", "soap"]).expect_code(0);
    assert_eq!(output.out(), "end did: end\n");
    let status = world.user.status("last");
    let ids = ["01_begin", "02_ship-first", "03_ship-second", "04_end"];
    assert_eq!(states(&status), ids.map(|id| (id, "completed")));
    assert!(world.read("told.03_ship-second.1").starts_with("second ship soap\n"));
    assert!(world.read("told.03_ship-second.1").contains("ship-first did: first ship soap"));
    assert!(world.read("told.04_end.1").contains("ship-second did: second ship soap"));
    // Its first steps came after what the step comes after.
    assert!(world.read("told.02_ship-first.1").contains("begin did: begin"));

    world.user.write_home(
        "workflows/inner.workflow.md",
        "---\nname: inner\ndescription: d\n---\n## first\nworkflow: outer\n",
    );
    let output = world.user.run(["run", "--team", "outer", "soap"]).expect_code(2);
    assert!(output.err().contains("`outer` → `inner` → `outer`"), "{}", output.err());
    let said = world.user.run(["validate"]).expect_code(2);
    assert!(format!("{}{}", said.out(), said.err()).contains("in a circle"), "{}", said.out());
}
