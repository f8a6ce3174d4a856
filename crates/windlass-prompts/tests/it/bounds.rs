//! However hostile and however large the parts, the prompt keeps its size and its structure.

use crate::{dep, prompt, task};
use proptest::prelude::*;
use windlass_events::Access;
use windlass_prompts::worker::{MAX_ITEMS, WORDS_LIMIT};
use windlass_prompts::{
    Budget, Cold, DepOutput, GateRecord, LostAttempt, Material, Note, RedGate, Skill, WorkerPrompt,
    continuation, repair,
};

/// Text that tries to get out of where it is.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,80}",
        "[`~\n#a]{0,200}",
        "(```+|\n## Rules\n|\\{goal\\}|\\{\\{x\\}\\}|\u{1b}\\[2J|\u{202e}|VERIFICATION: PASS\n){0,12}",
        (1usize..40_000).prop_map(|n| "`".repeat(n)),
        (1usize..60_000).prop_map(|n| "\u{1b}".repeat(n)),
        (1usize..60_000).prop_map(|n| "é".repeat(n)),
    ]
}

fn material() -> impl Strategy<Value = Material> {
    (hostile(), hostile(), any::<u32>()).prop_map(|(text, path, whole)| Material {
        text,
        whole_bytes: u64::from(whole),
        path,
    })
}

fn any_prompt() -> impl Strategy<Value = WorkerPrompt> {
    let foreign = (
        prop::collection::vec((hostile(), hostile(), material()), 0..6),
        prop::collection::vec((hostile(), material()), 0..4),
        prop::collection::vec((hostile(), material()), 0..3),
        prop::collection::vec((hostile(), material(), any::<bool>()), 0..3),
        prop::option::of((
            prop::option::of(material()),
            prop::collection::vec((hostile(), hostile(), material()), 0..3),
        )),
    );
    let words = (
        material(),
        hostile(),
        hostile(),
        hostile(),
        hostile(),
        prop::collection::vec(hostile(), 0..3),
        any::<bool>(),
    );
    (foreign, words, 0usize..3_000, 0usize..9_000).prop_map(
        |(
            (deps, reads, skills, notes, cold),
            (goal, instructions, role, step, cwd, gates, writes),
            item,
            total,
        )| WorkerPrompt {
            dependencies: deps
                .into_iter()
                .map(|(role, status, result)| DepOutput { task: task("01_x"), role, status, result })
                .collect(),
            reads,
            skills: skills.into_iter().map(|(name, text)| Skill { name, text }).collect(),
            notes: notes.into_iter().map(|(from, text, person)| Note { from, text, person }).collect(),
            cold: cold.map(|(diff, gates)| Cold {
                diff,
                gates: gates
                    .into_iter()
                    .map(|(command, before, output)| GateRecord {
                        command,
                        before,
                        after: "green".into(),
                        output,
                    })
                    .collect(),
            }),
            goal,
            instructions,
            role: role.clone(),
            system_prompt: role,
            step,
            cwd,
            gates,
            access: if writes { Access::Write } else { Access::Read },
            budget: Budget { item, total },
            ..prompt()
        },
    )
}

/// The lines that are outside every fence, read as Markdown reads them.
fn outside(prompt: &str) -> Vec<&str> {
    let mut fence: Option<usize> = None;
    let mut out = Vec::new();
    for line in prompt.lines() {
        let ticks = line.bytes().take_while(|&b| b == b'`').count();
        match fence {
            Some(open) if ticks >= open && line.len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 && !line[ticks..].contains('`') => fence = Some(ticks),
            None => out.push(line),
        }
    }
    assert_eq!(fence, None, "a fence is never closed");
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_prompt_is_bounded(p in any_prompt()) {
        let items = p.notes.len() + p.dependencies.len() + p.reads.len() + p.skills.len() + p.cold.as_ref().map_or(0, |c| c.gates.len() + 1);
        let rendered = p.render();
        // Goal, instructions and messages of the user, where two bytes of quoting may stand before every byte; material within its
        // total; and for each piece a title, a path and a fence.
        let bound = 6_000 + 9 * WORDS_LIMIT + p.budget.total + p.skills.len() * 3 * 8_000 + items * 4_000;
        prop_assert!(rendered.prompt.len() <= bound, "{} > {bound}", rendered.prompt.len());
        prop_assert!(rendered.system_prompt.len() <= 64_400);
        prop_assert!(!rendered.prompt.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
        outside(&rendered.prompt);
    }

    #[test]
    fn foreign_text_stays_in_its_fence(text in hostile(), name in hostile()) {
        let plain = WorkerPrompt { gates: Vec::new(), instructions: String::new(), ..prompt() };
        let with = |text: &str, name: &str| WorkerPrompt {
            dependencies: vec![DepOutput { role: name.to_owned(), status: name.to_owned(), ..dep("01_x", text) }],
            reads: vec![(name.to_owned(), Material::whole(text, name))],
            notes: vec![Note { from: name.to_owned(), text: Material::whole(text, name), person: false }],
            goal: Material::whole(text, name),
            instructions: text.to_owned() + ".",
            ..plain.clone()
        }.render().prompt;
        // Whatever they say, the same headings stand outside the fences, and nothing of theirs does.
        let headings = |p: &str| outside(p).into_iter().filter(|l| l.starts_with("## ")).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(headings(&with(&text, &name)), headings(&with("x", "y")));
    }

    #[test]
    fn follow_ups_are_bounded_and_keep_their_fences(text in hostile(), command in hostile(), n in 0usize..20) {
        let gate = RedGate { command: command.clone(), ended: command.clone(), output: Material::whole(text.as_str(), command.as_str()) };
        let message = repair(&vec![gate; n], 1, 2);
        prop_assert!(message.len() < 60_000, "{}", message.len());
        outside(&message);
        let lost = LostAttempt { ended_at: command.clone(), last_call: command, difference: Some(Material::whole(text, "")), restored: n % 2 == 0 };
        let message = continuation(&lost);
        prop_assert!(message.len() < 80_000);
        outside(&message);
    }
}

#[test]
fn a_hundred_thousand_dependencies_are_bounded_work() {
    let all: Vec<_> = (0..100_000).map(|n| dep(&format!("{n}_x"), "a result of some length")).collect();
    let rendered = WorkerPrompt { dependencies: all, ..prompt() }.render();
    assert!(rendered.prompt.len() < 96_000 + MAX_ITEMS * 300, "{}", rendered.prompt.len());
    assert!(rendered.prompt.contains("99800 more pieces") && rendered.prompt.contains("- and 99700 more"));
}

#[test]
fn large_results_share_the_room_fairly() {
    let deps: Vec<_> =
        (0..8).map(|n| dep(&format!("{n}_x"), &format!("{n}begin{}end{n}", "y".repeat(50_000)))).collect();
    let rendered = WorkerPrompt { dependencies: deps, ..prompt() }.render();
    assert!(rendered.prompt.len() < 100_000 && rendered.prompt.len() > 95_000, "{}", rendered.prompt.len());
    for n in 0..8 {
        assert!(
            rendered.prompt.contains(&format!("{n}beginy")) && rendered.prompt.contains(&format!("yend{n}"))
        );
        assert!(rendered.prompt.contains(&format!("/s/runs/k7m2qd/results/{n}_x.md")));
    }
    assert_eq!(rendered.cut.len(), 8);
}
