//! Agent programs before a run: found, asked for their version and sign-in, without a token.
//!
//! An answer is kept until the program or what it signs in with changes, so that the second run of a day does not wait.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use windlass_agents::{Adapter, ProbeAnswer, ProbeRequest, ProbeStep, Probed};
use windlass_api::{ApiError, ErrorKind};
use windlass_events::spec::ProgramSpec;

/// The environment that a worker will have: plain and secret values by name.
pub type ProbeEnv = BTreeMap<String, String>;

/// A program that can be used.
#[derive(Debug, Clone)]
pub struct Found {
    /// For the run.
    pub program: ProgramSpec,
    /// What it said.
    pub probed: Probed,
    /// What is to be said before the start.
    pub notices: Vec<String>,
}

/// What a kept answer rests on: anything of it that changes makes it worthless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Basis {
    version_of_ours: String,
    args: Vec<String>,
    models: Vec<String>,
    env: String,
    files: Vec<(String, u64, i64, i64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptAnswer {
    basis: Basis,
    answers: Vec<Answer>,
}

/// An answer as it is kept: exit code, standard output, standard error, problem.
type Answer = (Option<i32>, Vec<u8>, Vec<u8>, Option<String>);

/// Finds a runtime's program: by the user's config, a variable, or `PATH` of the environment.
pub fn find_program(
    adapter: &dyn Adapter,
    configured: Option<&[String]>,
    env: &ProbeEnv,
) -> Result<Vec<String>, ApiError> {
    let name = adapter.program().unwrap_or_default();
    let argv: Vec<String> = match configured {
        Some(argv) if !argv.is_empty() => argv.to_vec(),
        _ => vec![name.to_owned()],
    };
    let missing = |what: String| {
        let mut hint = adapter.install_hint().to_owned();
        if hint.is_empty() {
            hint = format!("or set `runtimes.{}.command` to where it is", adapter.kind());
        }
        ApiError::new(ErrorKind::Missing, what).hint(hint)
    };
    let program = argv.first().cloned().unwrap_or_default();
    let path = if program.contains('/') {
        let path = PathBuf::from(&program);
        is_executable(&path).then_some(path)
    } else {
        env.get("PATH").and_then(|path| on_path(&program, path))
    };
    let Some(path) = path else {
        return Err(missing(format!(
            "the program `{program}` of runtime `{}` was not found",
            adapter.kind()
        )));
    };
    let mut found = vec![path.to_string_lossy().into_owned()];
    found.extend(argv.into_iter().skip(1));
    Ok(found)
}

/// A program on a search path.
pub fn on_path(name: &str, path: &str) -> Option<PathBuf> {
    path.split(':').filter(|p| p.starts_with('/')).map(|p| Path::new(p).join(name)).find(|p| is_executable(p))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Asks a program, or takes the kept answer where nothing changed since.
///
/// # Errors
/// When it is missing, too old, or cannot sign in; the hint is the command that mends it.
pub fn probe(
    adapter: &dyn Adapter,
    argv: &[String],
    request: &ProbeRequest,
    env: &ProbeEnv,
    touches: &[PathBuf],
    cache: Option<&Path>,
) -> Result<Found, ApiError> {
    let (Some(program), rest) = (argv.first(), argv.get(1..).unwrap_or_default()) else {
        return Err(ApiError::new(ErrorKind::Missing, "there is no program to ask"));
    };
    let plan = adapter.probe(request);
    let basis = basis(program, rest, request, env, touches);
    let cache = cache.map(|dir| dir.join(format!("{}.json", adapter.kind())));
    let kept = cache
        .as_ref()
        .and_then(|path| std::fs::read(path).ok())
        .and_then(|bytes| serde_json::from_slice::<KeptAnswer>(&bytes).ok())
        .filter(|kept| kept.basis == basis && kept.answers.len() == plan.steps.len());
    let (answers, fresh) = match kept {
        Some(kept) => {
            let answers = kept.answers.into_iter().map(|(exit, stdout, stderr, problem)| ProbeAnswer {
                exit,
                stdout,
                stderr,
                problem,
            });
            (answers.collect(), false)
        }
        None => (ask_all(program, rest, &plan.steps, env), true),
    };
    let answers: Vec<ProbeAnswer> = answers;
    let probed = adapter
        .probed(request, &answers)
        .map_err(|e| ApiError::new(ErrorKind::Missing, e.what).hint(e.hint))?;
    if fresh
        && let Some(path) = &cache
        && answers.iter().all(|a| a.problem.is_none())
    {
        let kept = KeptAnswer {
            basis,
            answers: answers.into_iter().map(|a| (a.exit, a.stdout, a.stderr, a.problem)).collect(),
        };
        // Without it the next run asks again.
        if let (Some(dir), Ok(bytes)) = (path.parent(), serde_json::to_vec(&kept)) {
            let _ = crate::paths::make_private(dir);
            let _ = std::fs::write(path, bytes);
        }
    }
    let mut notices = probed.notices.clone();
    for helper in &plan.helpers {
        let on_path = env.get("PATH").is_some_and(|p| helper.names.iter().any(|n| on_path(n, p).is_some()));
        let at_home = env
            .get("HOME")
            .is_some_and(|home| helper.home_paths.iter().any(|p| Path::new(home).join(p).exists()));
        if !on_path && !at_home {
            notices.push(helper.notice.to_owned());
        }
    }
    let mut args: Vec<String> = rest.to_vec();
    args.extend(request.args.iter().cloned());
    Ok(Found {
        program: ProgramSpec {
            path: program.clone(),
            version: probed.version.clone(),
            model: probed.model.as_ref().map(|m| m.name.clone()),
            args,
        },
        probed,
        notices,
    })
}

fn basis(
    program: &str,
    rest: &[String],
    request: &ProbeRequest,
    env: &ProbeEnv,
    touches: &[PathBuf],
) -> Basis {
    use std::os::unix::fs::MetadataExt;
    // Values go in only as a hash: the basis is kept on disk.
    let mut hasher = blake3::Hasher::new();
    for (name, value) in
        env.iter().filter(|(n, _)| !matches!(n.as_str(), "PWD" | "OLDPWD" | "TERM" | "SHLVL" | "_"))
    {
        for part in [name, value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
    }
    let real = std::fs::canonicalize(program).unwrap_or_else(|_| program.into());
    let mut files = Vec::new();
    for path in std::iter::once(&real).chain(touches) {
        // Pi writes an empty sign-in file where there is none: that says no more than none.
        let (size, mtime, nanos) = std::fs::metadata(path)
            .ok()
            .filter(|m| m.len() > 2 || std::fs::read(path).is_ok_and(|text| text != b"{}"))
            .map_or((0, 0, 0), |m| (m.size(), m.mtime(), m.mtime_nsec()));
        files.push((path.to_string_lossy().into_owned(), size, mtime, nanos));
    }
    let mut args: Vec<String> = rest.to_vec();
    args.extend(request.args.iter().cloned());
    Basis {
        version_of_ours: env!("CARGO_PKG_VERSION").to_owned(),
        args,
        models: request.models.clone(),
        env: hasher.finalize().to_hex().to_string(),
        files,
    }
}

fn ask_all(program: &str, rest: &[String], steps: &[ProbeStep], env: &ProbeEnv) -> Vec<ProbeAnswer> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = steps.iter().map(|step| scope.spawn(|| ask(program, rest, step, env))).collect();
        asked
            .into_iter()
            .map(|a| {
                a.join().unwrap_or_else(|_| ProbeAnswer {
                    problem: Some("the question failed".into()),
                    ..ProbeAnswer::default()
                })
            })
            .collect()
    })
}

/// One start of the program, in a group of its own that is gone afterwards.
fn ask(program: &str, rest: &[String], step: &ProbeStep, env: &ProbeEnv) -> ProbeAnswer {
    let failed = |text: String| ProbeAnswer { problem: Some(text), ..ProbeAnswer::default() };
    let mut command = Command::new(program);
    command
        .args(rest)
        .args(&step.args)
        .env_clear()
        .envs(env)
        .envs(step.env.iter().map(|(k, v)| (k, v)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return failed(format!("it could not be started: {e}")),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not listen answers all the same.
        let _ = stdin.write_all(&step.stdin);
    }
    let limit = u64::try_from(step.max_bytes).unwrap_or(u64::MAX);
    let read = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(from) = from {
                let _ = from.take(limit.saturating_add(1)).read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let out = read(child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let err = read(child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>));
    let deadline = Instant::now() + Duration::from_millis(step.limit_ms);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => break None,
        }
    };
    if let Some(pid) = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)) {
        // The group is ours: the child leads it, and it is not reaped before this.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
    let stdout = out.join().unwrap_or_default();
    let stderr = err.join().unwrap_or_default();
    let problem = match status {
        None => Some(format!("it did not answer within {} s", step.limit_ms / 1_000)),
        Some(_) if stdout.len() as u64 > limit => Some("it said far too much".to_owned()),
        Some(_) => None,
    };
    ProbeAnswer { exit: status.and_then(|s| s.code()), stdout, stderr, problem }
}
