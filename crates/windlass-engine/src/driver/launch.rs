//! From a task to a launch: the prompt from what the run has made so far, then the adapter's plan.

use crate::driver::context::{Ctx, Home};
use crate::driver::follow::Follower;
use crate::driver::trees;
use crate::files;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_agents::{Launch, LaunchRequest, SessionPlan};
use windlass_core::Run;
use windlass_core::task::GateTry;
use windlass_events::event::{Cause, ResultRef, Snapshot};
use windlass_events::outcome::Failure;
use windlass_events::spec::READS_CHANGES;
use windlass_events::{
    Access, AttemptNo, AttemptStatus, ErrorClass, Grow, Millis, RuntimeKind, TaskId, TaskSpec,
};
use windlass_git::{DiffOptions, Segment};
use windlass_prompts::{
    Budget, Cold, DepOutput, GateRecord, LostAttempt, Material, Note, RedGate, Skill, WorkerPrompt, appended,
    continuation, otherwise, plan_refused, plan_rules, repair, replan, system_prompt,
};

/// How much of a file is read for a prompt; the prompt itself says how much of that it shows.
const READ_LIMIT: u64 = 256 * 1024;
/// How much of a difference is read for a prompt.
const DIFF_LIMIT: u64 = 512 * 1024;

/// What an attempt needs of the run's state, taken when it was released.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) task: TaskSpec,
    pub(crate) n: AttemptNo,
    pub(crate) cause: Cause,
    pub(crate) session: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) recovering: bool,
    planned_session: String,
    deps: Vec<(TaskId, String, String, Option<ResultRef>)>,
    reads: Vec<(String, ReadFrom)>,
    gates: Vec<String>,
    segments: Vec<Segment>,
    records: Vec<(String, Option<GateTry>, Option<GateTry>)>,
    red: Vec<(String, GateTry)>,
    round: u32,
    rounds: u32,
    lost: Option<Before>,
    /// What was wrong with the plan of the attempt before.
    refused: Vec<String>,
    /// What failed of the plan before: task, and why.
    failed: Vec<(String, String)>,
    /// What people said of earlier results, oldest first.
    told: Vec<String>,
}

/// The attempt that this one goes on from.
#[derive(Debug, Clone)]
struct Before {
    n: AttemptNo,
    ended_at: Millis,
    last: String,
    tree: Option<String>,
}

#[derive(Debug, Clone)]
enum ReadFrom {
    Result(ResultRef),
    File(PathBuf),
    /// The uncommitted changes, else those of the branch.
    Changes,
}

impl Job {
    /// The job of attempt `n` of the task at a position.
    pub(crate) fn of(run: &Run, at: u32, n: AttemptNo, recovering: bool) -> Option<Self> {
        let task = run.task(at)?;
        let attempt = task.attempt(n)?;
        let spec = task.spec.clone();
        let is_model = spec.runtime.is_model();
        // What it depends on, with what grew from that; a part also has the plan that it is of, or what the list's step depends on.
        let parent = spec.flow.parent.as_ref().and_then(|id| run.task_by_id(id));
        let around = parent.filter(|t| !t.has_worker()).map_or(&[][..], |t| &t.spec.depends_on);
        let list = parent.and_then(|t| match &t.spec.flow.grow {
            Some(Grow::Each(each)) => each.over.as_ref(),
            _ => None,
        });
        let direct = around.iter().filter(|id| Some(*id) != list).chain(&spec.depends_on);
        let direct = direct.filter_map(|id| run.task_by_id(id));
        let deps = parent
            .into_iter()
            .filter(|t| t.has_worker())
            .chain(direct.flat_map(|t| with_parts(run, t)))
            .map(|t| (t.spec.id.clone(), t.spec.role.clone(), t.status().to_string(), result_of(t)))
            .collect();
        let reads = spec
            .reads
            .iter()
            .flat_map(|name| {
                let made = run.tasks.iter().rev().find(|t| {
                    t.spec.output.as_deref() == Some(name)
                        || name.strip_suffix(".md") == Some(t.spec.id.as_str())
                        || t.spec.step == *name
                });
                if name == READS_CHANGES {
                    return vec![("the changes there are".to_owned(), ReadFrom::Changes)];
                }
                let results: Vec<_> = made
                    .into_iter()
                    .flat_map(|t| with_parts(run, t))
                    .filter_map(|t| Some((t, result_of(t)?)))
                    .map(|(t, result)| {
                        let of_part = Some(&t.spec.id) != made.map(|t| &t.spec.id);
                        let label = if of_part { format!("{name}: {}", t.spec.id) } else { name.clone() };
                        (label, ReadFrom::Result(result))
                    })
                    .collect();
                if results.is_empty() {
                    return vec![(name.clone(), ReadFrom::File(Path::new(&run.spec.cwd).join(name)))];
                }
                results
            })
            .collect();
        let command =
            |gate: u32| run.spec.gates.get(gate as usize).map_or_else(String::new, |g| g.command.clone());
        let last_of = |gate: u32| {
            run.tasks
                .iter()
                .flat_map(|t| &t.gates)
                .filter(|t| t.gate == gate && t.end.is_some())
                .max_by_key(|t| t.started_at)
        };
        let records = if spec.cold {
            (0..u32::try_from(run.spec.gates.len()).unwrap_or(0))
                .filter(|g| run.gate_counts(*g))
                .map(|g| (command(g), run.baseline_of(g).cloned(), last_of(g).cloned()))
                .collect()
        } else {
            Vec::new()
        };
        let red = if attempt.cause == Cause::Repair {
            let previous = task.gates.iter().map(|t| t.attempt).max().unwrap_or(0);
            let is_red =
                |t: &&GateTry| t.attempt == previous && t.end.as_ref().is_some_and(|e| !e.is_green());
            task.gates.iter().filter(is_red).map(|t| (command(t.gate), t.clone())).collect()
        } else {
            Vec::new()
        };
        // Of a voided attempt nothing ever ran.
        let before = task.attempts.iter().rev().find(|a| a.n < n && a.status != AttemptStatus::Voided);
        let lost = match (attempt.cause, before) {
            (Cause::Continue | Cause::Retry | Cause::Person, Some(b)) => {
                let tree = task
                    .kept
                    .iter()
                    .rev()
                    .find(|k| k.attempt <= b.n && k.before)
                    .map(|k| k.snapshot.tree.clone());
                Some(Before { n: b.n, ended_at: b.ended_at.unwrap_or(0), last: b.last.clone(), tree })
            }
            _ => None,
        };
        Some(Self {
            n,
            cause: attempt.cause,
            session: attempt.session.clone(),
            model: attempt.model.clone(),
            recovering,
            planned_session: SessionPlan::id_for(run.id, &spec.id, n),
            deps,
            reads,
            gates: spec.gates.iter().filter(|g| run.gate_counts(**g)).map(|g| command(*g)).collect(),
            segments: if spec.cold && is_model {
                trees::segments(run, None).unwrap_or_default()
            } else {
                Vec::new()
            },
            records,
            red,
            round: task.repairs,
            rounds: spec.flow.rounds.unwrap_or(run.spec.repair_rounds),
            lost,
            refused: match (&task.grown.refused, attempt.cause) {
                (Some((_, reasons)), Cause::Repair) => reasons.clone(),
                _ => Vec::new(),
            },
            failed: if attempt.cause == Cause::Replan { failed_parts(run, task) } else { Vec::new() },
            told: task.told.clone(),
            task: spec,
        })
    }

    /// The agent's session as planned: the one to continue, else a new one of this attempt.
    pub(crate) fn session_id(&self) -> Option<&str> {
        Some(self.session.as_deref().unwrap_or(&self.planned_session))
    }
}

/// Those of a task that have results: itself, where it has a worker, and what grew from it.
fn with_parts<'r>(
    run: &'r Run,
    task: &'r windlass_core::Task,
) -> impl Iterator<Item = &'r windlass_core::Task> {
    let parts = task.grown.parts.iter().filter_map(|at| run.task(*at));
    std::iter::once(task).filter(|t| t.has_worker()).chain(parts)
}

/// The result of a task's newest attempt that has one.
pub(crate) fn result_of(task: &windlass_core::Task) -> Option<ResultRef> {
    task.attempts.iter().rev().find_map(|a| a.end.as_ref().and_then(|e| e.result.clone()))
}

/// What of a plan did not complete, and why.
fn failed_parts(run: &Run, task: &windlass_core::Task) -> Vec<(String, String)> {
    let parts = task.grown.parts.iter().filter_map(|at| run.task(*at));
    parts
        .filter(|t| t.status() != windlass_events::TaskStatus::Completed)
        .map(|t| {
            let why = t.failure.as_ref().map_or_else(|| t.status().to_string(), |f| f.message.clone());
            (t.spec.flow.item.clone(), why)
        })
        .collect()
}

/// An unguessable text for an attempt's processes.
pub(crate) fn marker() -> String {
    let mut bytes = [0u8; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    let mut text = String::with_capacity(40);
    for b in bytes.iter().take(filled) {
        text.push_str(&format!("{b:02x}"));
    }
    while text.len() < 16 {
        // Without the kernel's randomness the process and time still tell attempts apart.
        text.push_str(&format!("{:x}{:x}", std::process::id(), crate::driver::context::now()));
    }
    text
}

/// Renders the prompt and asks the adapter. Files and git are read on a blocking thread where a model is to be told of them.
pub(crate) async fn prepare(ctx: &Arc<Ctx>, home: &Arc<Home>, job: &mut Job) -> Result<Launch, Failure> {
    if job.task.runtime == RuntimeKind::Command && !home.spec.tree.git {
        return prepare_blocking(ctx, home, job);
    }
    let (ctx, home, mut moved) = (ctx.clone(), home.clone(), job.clone());
    let (launch, back) = tokio::task::spawn_blocking(move || {
        let launch = prepare_blocking(&ctx, &home, &mut moved);
        (launch, moved)
    })
    .await
    .map_err(|_| Failure::new(ErrorClass::Internal, "the prompt could not be made"))?;
    *job = back;
    launch
}

fn prepare_blocking(ctx: &Ctx, home: &Home, job: &mut Job) -> Result<Launch, Failure> {
    let internal = |what: String| Failure::new(ErrorClass::Internal, what);
    let adapter = windlass_agents::adapter(job.task.runtime)
        .ok_or_else(|| internal(format!("this version cannot drive runtime `{}`", job.task.runtime)))?;
    remember_tree(ctx, home, job);
    let agent = home.spec.agents.get(&job.task.agent).cloned().unwrap_or_default();
    let program = home.spec.programs.get(&job.task.runtime).cloned().unwrap_or_default();
    let can = adapter.capabilities(&program.version);
    let artifacts = home.dir.artifacts(&job.task.id);
    let sessions = home.dir.sessions(&job.task.id);
    home.spares.make(&artifacts).map_err(|e| internal(e.to_string()))?;
    if job.task.runtime.is_model() {
        make(&sessions)?;
    }
    let recorded = |id: &str| {
        let names: Vec<String> = std::fs::read_dir(&sessions)
            .map(|d| d.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
            .unwrap_or_default();
        adapter.session_recorded(&names, id)
    };
    // A session that the agent never wrote down cannot be continued; its task is told anew.
    let continues = job.session.clone().filter(|id| can.continue_session && recorded(id));
    job.session.clone_from(&continues);
    let (prompt, system_prompt) = prompt(ctx, home, job, &agent, &artifacts, continues.is_some());
    let prompt_file = home.dir.0.join("prompts").join(prompt_name(job, &prompt));
    let request = LaunchRequest {
        run: home.run,
        task: job.task.id.clone(),
        step: job.task.step.clone(),
        role: job.task.role.clone(),
        agent: job.task.agent.clone(),
        attempt: job.n,
        program,
        command: agent.command.clone(),
        prompt,
        system_prompt,
        append_prompt: agent.append_prompt,
        model: job.model.clone(),
        thinking: agent.thinking.clone(),
        tools: agent.tools.clone(),
        access: job.task.access,
        session: match &continues {
            Some(id) => SessionPlan::Continue { id: id.clone() },
            None => SessionPlan::New { id: job.planned_session.clone() },
        },
        session_dir: text(&sessions)?,
        cwd: home.spec.cwd.clone(),
        artifacts: text(&artifacts)?,
        prompt_file: text(&prompt_file)?,
        inherit_project_context: agent.inherit_project_context,
        inherit_skills: agent.inherit_skills,
        interactive: can.steer,
    };
    adapter.launch(&request).map_err(|e| Failure::new(ErrorClass::CannotStart, e.to_string()))
}

/// Commands that are told the same share one file.
fn prompt_name(job: &Job, prompt: &str) -> String {
    if job.task.runtime == RuntimeKind::Command {
        format!("{}.md", &blake3::hash(prompt.as_bytes()).to_hex().as_str()[..20])
    } else {
        format!("{}.{}.md", job.task.id, job.n)
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(ErrorClass::Internal, format!("{} is not UTF-8", path.display())))
}

fn make(path: &Path) -> Result<(), Failure> {
    crate::paths::make_private(path).map_err(|e| Failure::new(ErrorClass::Internal, e.to_string()))
}

/// What was said to the task: its item, as the agent that listed it wrote it, and people's words.
fn notes(job: &Job) -> Vec<Note> {
    let given = (!job.task.flow.given.is_empty()).then(|| Note {
        from: "the agent that made the list".to_owned(),
        text: Material::whole(job.task.flow.given.clone(), ""),
        person: false,
    });
    let told = job.told.iter().map(|text| Note {
        from: "the user".to_owned(),
        text: Material::whole(text.clone(), ""),
        person: true,
    });
    given.into_iter().chain(told).collect()
}

/// The step's words, and what a plan must look like where it is to make one.
fn instructions(home: &Home, job: &Job) -> String {
    let Some(windlass_events::Grow::Plan(plan)) = &job.task.flow.grow else {
        return job.task.instructions.clone();
    };
    let roles: Vec<&str> = plan.roles.keys().map(String::as_str).collect();
    let gates: Vec<&str> = home.spec.gates.iter().map(|g| g.command.as_str()).collect();
    format!("{}\n\n{}", job.task.instructions, plan_rules(&roles, plan.max, &gates))
}

fn prompt(
    ctx: &Ctx,
    home: &Home,
    job: &Job,
    agent: &windlass_events::spec::AgentSpec,
    artifacts: &Path,
    continues: bool,
) -> (String, String) {
    let follow_up = follow_up(ctx, home, job);
    if job.task.runtime == RuntimeKind::Command {
        return (plain_prompt(home, job), String::new());
    }
    if let (true, Some(text)) = (continues, &follow_up) {
        // The session still knows its task; its rules are no part of the conversation.
        return (text.clone(), system_prompt(&agent.system_prompt, job.task.access));
    }
    let skill = |name: &String| {
        home.spec.skills.get(name).map(|t| Skill { name: name.clone(), text: Material::whole(t.clone(), "") })
    };
    let cold = job.task.cold.then(|| Cold {
        diff: home.spec.tree.git.then(|| diff(ctx, home, job)),
        gates: job.records.iter().map(|r| record(home, r)).collect(),
    });
    let prompt = WorkerPrompt {
        run: home.run,
        task: job.task.id.clone(),
        step: job.task.step.clone(),
        role: job.task.role.clone(),
        system_prompt: agent.system_prompt.clone(),
        goal: Material::whole(home.spec.goal.clone(), home.dir.goal().to_string_lossy()),
        instructions: instructions(home, job),
        cwd: home.spec.cwd.clone(),
        access: job.task.access,
        artifacts: artifacts.to_str().map(str::to_owned),
        gates: job.gates.clone(),
        dependencies: if job.task.cold {
            Vec::new()
        } else {
            job.deps.iter().map(|d| dep(home, d)).collect()
        },
        reads: if job.task.cold {
            Vec::new()
        } else {
            job.reads
                .iter()
                .filter_map(|(name, from)| Some((name.clone(), material(ctx, home, job, from)?)))
                .collect()
        },
        skills: job.task.skills.iter().filter_map(skill).collect(),
        cold,
        notes: notes(job),
        budget: Budget::default(),
    };
    let rendered = prompt.render();
    let text = match follow_up {
        Some(more) => appended(&rendered.prompt, &more),
        None => rendered.prompt,
    };
    (text, rendered.system_prompt)
}

/// What a command finds on standard input: its instructions, then what it depends on and reads, each as it is where it fits and
/// with its beginning and end where it does not, then what people said of its earlier answers.
fn plain_prompt(home: &Home, job: &Job) -> String {
    let deps = job
        .deps
        .iter()
        .filter(|d| d.3.is_some())
        .map(|d| (format!("result of {}", d.0), dep(home, d).result));
    let reads = job.reads.iter().filter_map(|(name, from)| Some((name.clone(), read(home, from)?)));
    let materials: Vec<(String, Material)> = deps.chain(reads).collect();
    let needs: Vec<usize> = materials.iter().map(|(_, m)| m.text.len()).collect();
    let rooms = Budget::default().share(&needs);
    let mut text = job.task.instructions.clone();
    let given = &job.task.flow.given;
    if !given.is_empty() && !text.contains(given.as_str()) {
        text.push_str(&format!("\n\n--- the item ---\n{given}"));
    }
    for ((title, material), room) in materials.iter().zip(rooms) {
        text.push_str(&format!("\n\n--- {title} ({}) ---\n{}", material.path, fitted(material, room)));
    }
    for said in &job.told {
        text.push_str(&format!(
            "\n\n--- the user does not approve what was answered before, and says ---\n{said}"
        ));
    }
    text
}

/// A text within so many bytes: the whole of it, or its beginning and end with a line between that says what is left out.
fn fitted(material: &Material, room: usize) -> String {
    let text = &material.text;
    if text.len() <= room && material.whole_bytes <= text.len() as u64 {
        return text.clone();
    }
    let head = &text[..text.floor_char_boundary(room * 3 / 5)];
    let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(room - room * 3 / 5))..];
    let left_out = material.whole_bytes.saturating_sub((head.len() + tail.len()) as u64);
    format!("{head}\n[… {left_out} bytes are left out here; {} has all of it …]\n{tail}", material.path)
}

fn follow_up(ctx: &Ctx, home: &Home, job: &Job) -> Option<String> {
    match job.cause {
        Cause::First => None,
        Cause::Repair if !job.refused.is_empty() => Some(plan_refused(&job.refused)),
        Cause::Replan => Some(replan(&job.failed)),
        // The words are a note in a whole prompt; a session that goes on is told them.
        Cause::Person if job.lost.as_ref().is_none_or(|l| l.last.is_empty()) && !job.told.is_empty() => {
            job.told.last().map(|text| otherwise(text))
        }
        Cause::Repair => {
            let gates: Vec<RedGate> = job
                .red
                .iter()
                .filter_map(|(command, t)| {
                    let end = t.end.as_ref()?;
                    Some(RedGate {
                        command: command.clone(),
                        ended: end.outcome.describe(),
                        output: Material::whole(
                            end.tail.clone(),
                            home.dir.0.join(&end.path).to_string_lossy(),
                        ),
                    })
                })
                .collect();
            Some(repair(&gates, job.round, job.rounds))
        }
        Cause::Continue | Cause::Retry | Cause::Person => {
            let before = job.lost.clone()?;
            let difference = before.tree.as_deref().and_then(|tree| difference(ctx, home, tree));
            let last_call = if before.last.is_empty() { last_call(home, job, before.n) } else { before.last };
            Some(continuation(&LostAttempt {
                ended_at: crate::when(before.ended_at),
                last_call,
                difference,
                restored: false,
            }))
        }
    }
}

/// The last call of an earlier attempt, from its spool; empty where that cannot be told.
fn last_call(home: &Home, job: &Job, n: AttemptNo) -> String {
    let spool = home.dir.spool(&job.task.id, n);
    let Ok(mut follower) = Follower::open(&spool, job.task.runtime, None) else { return String::new() };
    while follower.read_some() {}
    follower.so_far().2
}

/// What changed in the tree since an identity; `None` where that cannot be told.
fn difference(ctx: &Ctx, home: &Home, before: &str) -> Option<Material> {
    let keeper = trees::keeper(ctx.git(), &home.spec.tree, &home.project.dir).ok()?;
    let now = keeper.tree_identity().ok()?;
    let segment = Segment::of(&trees::bare(before.to_owned()), &trees::bare(now.as_str().to_owned())).ok()?;
    let options = DiffOptions { max_bytes: Some(DIFF_LIMIT), ..DiffOptions::default() };
    let diff = keeper.diff_text(&[segment], &options).ok()?;
    Some(Material::whole(String::from_utf8_lossy(&diff.bytes).into_owned(), ""))
}

fn diff(ctx: &Ctx, home: &Home, job: &Job) -> Material {
    let unknown = || Material::whole("(the difference could not be made; look at the tree itself)", "");
    let Ok(keeper) = trees::keeper(ctx.git(), &home.spec.tree, &home.project.dir) else { return unknown() };
    let options = DiffOptions { max_bytes: Some(DIFF_LIMIT), ..DiffOptions::default() };
    let bytes = if job.segments.is_empty() {
        // Nothing was written by this run: it judges what there is.
        keeper.diff_for_review(Some(DIFF_LIMIT)).map(|r| r.diff.bytes)
    } else {
        keeper.diff_text(&job.segments, &options).map(|d| d.bytes)
    };
    let Ok(bytes) = bytes else { return unknown() };
    let path = home.dir.0.join("prompts").join(format!("{}.{}.diff", job.task.id, job.n));
    let shown =
        if files::write(&path, &bytes).is_ok() { path.to_string_lossy().into_owned() } else { String::new() };
    Material::whole(String::from_utf8_lossy(&bytes).into_owned(), shown)
}

fn record(home: &Home, (command, before, after): &(String, Option<GateTry>, Option<GateTry>)) -> GateRecord {
    let colour = |t: &Option<GateTry>| match t.as_ref().and_then(|t| t.end.as_ref()) {
        Some(e) if e.is_green() => "green".to_owned(),
        Some(_) => "red".to_owned(),
        None => "not run".to_owned(),
    };
    let last = after.as_ref().or(before.as_ref()).and_then(|t| t.end.as_ref());
    let output = last.map_or_else(Material::default, |e| {
        Material::whole(e.tail.clone(), home.dir.0.join(&e.path).to_string_lossy())
    });
    GateRecord {
        command: command.clone(),
        before: colour(before),
        // With nothing written since, the baseline is the record.
        after: if after.is_some() { colour(after) } else { colour(before) },
        output,
    }
}

fn dep(home: &Home, (task, role, status, result): &(TaskId, String, String, Option<ResultRef>)) -> DepOutput {
    let result = result.as_ref().and_then(|r| read(home, &ReadFrom::Result(r.clone()))).unwrap_or_default();
    DepOutput { task: task.clone(), role: role.clone(), status: status.clone(), result }
}

/// What a step reads.
fn material(ctx: &Ctx, home: &Home, job: &Job, from: &ReadFrom) -> Option<Material> {
    match from {
        ReadFrom::Changes => changes(ctx, home, job),
        other => read(home, other),
    }
}

/// The uncommitted changes, else those of the branch against its base, with a line that says which; `None` outside git.
fn changes(ctx: &Ctx, home: &Home, job: &Job) -> Option<Material> {
    let keeper = trees::keeper(ctx.git(), &home.spec.tree, &home.project.dir).ok()?;
    let review = keeper.diff_for_review(Some(DIFF_LIMIT)).ok()?;
    let path = home.dir.0.join("prompts").join(format!("{}.{}.changes.diff", job.task.id, job.n));
    let shown = if files::write(&path, &review.diff.bytes).is_ok() {
        path.to_string_lossy().into_owned()
    } else {
        String::new()
    };
    let text = format!("{}\n\n{}", review.description, String::from_utf8_lossy(&review.diff.bytes));
    Some(Material::whole(text, shown))
}

/// Reads a text for a prompt: at most [`READ_LIMIT`] bytes, head and tail, with its true size.
fn read(home: &Home, from: &ReadFrom) -> Option<Material> {
    let path = match from {
        ReadFrom::Result(r) => home.dir.0.join(&r.path),
        ReadFrom::File(path) => path.clone(),
        ReadFrom::Changes => return None,
    };
    let mut file = std::fs::File::open(&path).ok()?;
    let whole = file.metadata().ok()?.len();
    let mut bytes = Vec::new();
    if whole <= READ_LIMIT {
        file.read_to_end(&mut bytes).ok()?;
    } else {
        use std::io::{Seek, SeekFrom};
        (&mut file).take(READ_LIMIT / 2).read_to_end(&mut bytes).ok()?;
        file.seek(SeekFrom::Start(whole - READ_LIMIT / 2)).ok()?;
        file.read_to_end(&mut bytes).ok()?;
    }
    Some(Material {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        whole_bytes: whole,
        path: path.to_string_lossy().into_owned(),
    })
}

/// Remembers the tree before a reader, beside its spool, so that a later engine can still tell whether it changed.
fn remember_tree(ctx: &Ctx, home: &Home, job: &Job) {
    if job.task.access == Access::Write || !home.spec.tree.git {
        return;
    }
    if let Some(Ok(tree)) = trees::identity(ctx, home) {
        // Without it the reader cannot be found out; nothing else depends on it.
        let _ = files::write(&tree_file(home, job), tree.as_bytes());
    }
}

fn tree_file(home: &Home, job: &Job) -> PathBuf {
    let mut name = home.dir.spool(&job.task.id, job.n).into_os_string();
    name.push("@tree");
    name.into()
}

/// The tree before and after a reader, when they differ.
pub(crate) async fn touched(
    ctx: &Arc<Ctx>,
    home: &Arc<Home>,
    job: &Job,
) -> Option<Box<(Snapshot, Snapshot)>> {
    if job.task.access == Access::Write || !home.spec.tree.git {
        return None;
    }
    let before = std::fs::read_to_string(tree_file(home, job)).ok()?;
    let (ctx, home) = (ctx.clone(), home.clone());
    let after = tokio::task::spawn_blocking(move || trees::identity(&ctx, &home)).await.ok()??.ok()?;
    (before != after).then(|| Box::new((trees::bare(before), trees::bare(after))))
}
