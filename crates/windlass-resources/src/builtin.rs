//! The resources that are shipped: their text is part of the program.

/// Every shipped file: its path below a place's folder, and its text.
pub const FILES: &[(&str, &str)] = &[
    ("agents/analyst.md", include_str!("../builtin/agents/analyst.md")),
    ("agents/critic.md", include_str!("../builtin/agents/critic.md")),
    ("agents/executor.md", include_str!("../builtin/agents/executor.md")),
    ("agents/explorer.md", include_str!("../builtin/agents/explorer.md")),
    ("agents/planner.md", include_str!("../builtin/agents/planner.md")),
    ("agents/reviewer.md", include_str!("../builtin/agents/reviewer.md")),
    ("agents/security-reviewer.md", include_str!("../builtin/agents/security-reviewer.md")),
    ("agents/test-engineer.md", include_str!("../builtin/agents/test-engineer.md")),
    ("agents/verifier.md", include_str!("../builtin/agents/verifier.md")),
    ("agents/writer.md", include_str!("../builtin/agents/writer.md")),
    (
        "skills/context-artifact-hygiene/SKILL.md",
        include_str!("../builtin/skills/context-artifact-hygiene/SKILL.md"),
    ),
    ("skills/delegation-patterns/SKILL.md", include_str!("../builtin/skills/delegation-patterns/SKILL.md")),
    (
        "skills/multi-perspective-review/SKILL.md",
        include_str!("../builtin/skills/multi-perspective-review/SKILL.md"),
    ),
    (
        "skills/ownership-session-security/SKILL.md",
        include_str!("../builtin/skills/ownership-session-security/SKILL.md"),
    ),
    ("skills/read-only-explorer/SKILL.md", include_str!("../builtin/skills/read-only-explorer/SKILL.md")),
    (
        "skills/requirements-to-task-packet/SKILL.md",
        include_str!("../builtin/skills/requirements-to-task-packet/SKILL.md"),
    ),
    ("skills/runtime-state-reader/SKILL.md", include_str!("../builtin/skills/runtime-state-reader/SKILL.md")),
    ("skills/safe-bash/SKILL.md", include_str!("../builtin/skills/safe-bash/SKILL.md")),
    (
        "skills/secure-agent-orchestration-review/SKILL.md",
        include_str!("../builtin/skills/secure-agent-orchestration-review/SKILL.md"),
    ),
    (
        "skills/state-mutation-locking/SKILL.md",
        include_str!("../builtin/skills/state-mutation-locking/SKILL.md"),
    ),
    (
        "skills/verification-before-done/SKILL.md",
        include_str!("../builtin/skills/verification-before-done/SKILL.md"),
    ),
    ("skills/verify-evidence/SKILL.md", include_str!("../builtin/skills/verify-evidence/SKILL.md")),
    ("teams/checks.team.md", include_str!("../builtin/teams/checks.team.md")),
    ("teams/default.team.md", include_str!("../builtin/teams/default.team.md")),
    ("teams/fast-fix.team.md", include_str!("../builtin/teams/fast-fix.team.md")),
    ("teams/implementation.team.md", include_str!("../builtin/teams/implementation.team.md")),
    ("teams/parallel-research.team.md", include_str!("../builtin/teams/parallel-research.team.md")),
    ("teams/plan-execute.team.md", include_str!("../builtin/teams/plan-execute.team.md")),
    ("teams/research.team.md", include_str!("../builtin/teams/research.team.md")),
    ("teams/review.team.md", include_str!("../builtin/teams/review.team.md")),
    ("teams/solo.team.md", include_str!("../builtin/teams/solo.team.md")),
    ("workflows/checks.workflow.md", include_str!("../builtin/workflows/checks.workflow.md")),
    ("workflows/default.workflow.md", include_str!("../builtin/workflows/default.workflow.md")),
    ("workflows/fast-fix.workflow.md", include_str!("../builtin/workflows/fast-fix.workflow.md")),
    ("workflows/implementation.workflow.md", include_str!("../builtin/workflows/implementation.workflow.md")),
    (
        "workflows/parallel-research.workflow.md",
        include_str!("../builtin/workflows/parallel-research.workflow.md"),
    ),
    ("workflows/plan-execute.workflow.md", include_str!("../builtin/workflows/plan-execute.workflow.md")),
    ("workflows/research.workflow.md", include_str!("../builtin/workflows/research.workflow.md")),
    ("workflows/review.workflow.md", include_str!("../builtin/workflows/review.workflow.md")),
    ("workflows/solo.workflow.md", include_str!("../builtin/workflows/solo.workflow.md")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Entry};
    use crate::source::Kind;
    use std::collections::BTreeSet;

    #[test]
    fn every_shipped_file_reads_without_a_finding() {
        let catalog = Catalog::builtin();
        let findings = [
            crate::catalog::read_shipped::<crate::agent::Agent>().1,
            crate::catalog::read_shipped::<crate::team::Team>().1,
            crate::catalog::read_shipped::<crate::workflow::Workflow>().1,
            crate::catalog::read_shipped::<crate::skill::Skill>().1,
        ]
        .concat();
        assert_eq!(findings, [], "{}", crate::diag::render_all(&findings));
        assert!(catalog.shadowed.is_empty());
        let count = |kind: Kind| FILES.iter().filter(|(f, _)| f.starts_with(kind.folder())).count();
        assert_eq!(catalog.agents.usable().count(), count(Kind::Agent));
        assert_eq!(catalog.teams.usable().count(), count(Kind::Team));
        assert_eq!(catalog.workflows.usable().count(), count(Kind::Workflow));
        assert_eq!(catalog.skills.usable().count(), count(Kind::Skill));
        assert_eq!(
            (count(Kind::Agent), count(Kind::Team), count(Kind::Workflow), count(Kind::Skill)),
            (10, 9, 9, 12)
        );
    }

    #[test]
    fn the_list_is_what_the_folder_holds() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("builtin");
        let mut found = BTreeSet::new();
        let mut open = vec![root.clone()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        assert_eq!(found, FILES.iter().map(|(f, _)| (*f).to_owned()).collect());
    }

    #[test]
    fn skills_fit_into_a_prompt_and_prompts_name_no_product() {
        for (file, text) in FILES {
            if file.starts_with("skills") {
                assert!(text.len() <= 1_700, "{file} has {} bytes", text.len());
            }
            for word in ["Rust", "Python", "npm", "cargo", "Windlass", "pi-crew"] {
                assert!(!text.contains(word), "{file} says {word}");
            }
        }
    }

    #[test]
    fn agents_that_can_write_leave_git_alone() {
        for (_, entry) in Catalog::builtin().agents.iter() {
            let Entry::Usable(agent) = entry else { panic!() };
            if agent.access() == windlass_events::spec::Access::Write {
                assert!(
                    agent.system_prompt.contains("Do not commit")
                        || agent.system_prompt.contains("not commit"),
                    "{}",
                    agent.name
                );
            }
            assert!(agent.model.is_none() && agent.inherit_project_context && !agent.append_prompt);
        }
    }
}
