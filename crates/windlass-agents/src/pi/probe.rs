//! Asking pi about its version and the models that it can sign in to.
//!
//! The second question starts RPC mode without a session and asks `get_state` and `get_available_models`. Pi answers from the
//! user's `auth.json`, `models.json`, settings and environment: a model is "available" when its provider has a credential. No
//! request leaves the machine, an expired sign-in is not refreshed, and the standing default model comes with the answer. Pi
//! answers `unknown/unknown` and an empty list where there is no sign-in at all.

use super::INSTALL;
use super::launch::{ALONE, QUIET, judge_version};
use crate::probe::{Helper, ModelInfo, ProbeAnswer, ProbeError, ProbePlan, ProbeRequest, ProbeStep, Probed};
use crate::text::{name, one_line, tail};
use crate::version::Version;
use serde::Deserialize;

const SIGN_IN: &str = "start `pi`, type `/login` and choose a provider, or set the provider's key (for example ANTHROPIC_API_KEY)";
const MAX_MODELS: usize = 2_000;

pub(super) fn plan(request: &ProbeRequest) -> ProbePlan {
    let env: Vec<_> = QUIET.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut args = request.args.clone();
    args.extend(["--mode", "rpc", "--no-session", "--no-skills", "--no-context-files"].map(str::to_owned));
    args.extend(ALONE.iter().map(|&flag| flag.to_owned()));
    ProbePlan {
        steps: vec![
            ProbeStep {
                args: vec!["--version".to_owned()],
                env: env.clone(),
                stdin: Vec::new(),
                limit_ms: 20_000,
                max_bytes: 64 * 1024,
            },
            ProbeStep {
                args,
                env,
                stdin: b"{\"id\":\"state\",\"type\":\"get_state\"}\n{\"id\":\"models\",\"type\":\"get_available_models\"}\n".to_vec(),
                limit_ms: 30_000,
                max_bytes: 16 * 1024 * 1024,
            },
        ],
        helpers: vec![
            Helper {
                names: &["rg"],
                home_paths: &[".pi/agent/bin/rg"],
                notice: "ripgrep (`rg`) is not installed: pi's `grep` tool will not work; start `pi` once, or install ripgrep",
            },
            Helper {
                names: &["fd", "fdfind"],
                home_paths: &[".pi/agent/bin/fd"],
                notice: "`fd` is not installed: pi's `find` tool will not work; start `pi` once, or install fd",
            },
        ],
    }
}

pub(super) fn read(request: &ProbeRequest, answers: &[ProbeAnswer]) -> Result<Probed, ProbeError> {
    let [about, models] = answers else {
        return Err(ProbeError::new("pi was not asked all questions", "run `windlass doctor`"));
    };
    let version = version(about)?;
    let mut notices = Vec::new();
    match judge_version(version) {
        Ok(notice) => notices.extend(notice),
        Err(what) => return Err(ProbeError::new(what, INSTALL)),
    }
    broken(models, "could not say which models it can use")?;
    let answer = Answer::read(&models.stdout);
    let Some(available) = answer.models else {
        return Err(ProbeError::new(
            format!("pi {version} did not say which models it can use{}", last_words(models)),
            "run `pi --list-models` to see why",
        ));
    };
    if available.is_empty() {
        return Err(ProbeError::new("pi is not signed in to any model", SIGN_IN));
    }
    for wanted in &request.models {
        notices.extend(wanted_model(wanted, &available)?);
    }
    let model = answer.default.filter(|m| available.iter().any(|a| a.name == m.name));
    Ok(Probed { version: version.to_string(), model, models: available, notices })
}

fn version(answer: &ProbeAnswer) -> Result<Version, ProbeError> {
    broken(answer, "could not say its version")?;
    // Older versions print it on standard error.
    [&answer.stdout, &answer.stderr]
        .into_iter()
        .find_map(|bytes| Version::find(&String::from_utf8_lossy(bytes)))
        .ok_or_else(|| ProbeError::new(format!("pi did not say its version{}", last_words(answer)), INSTALL))
}

fn broken(answer: &ProbeAnswer, what: &str) -> Result<(), ProbeError> {
    if let Some(problem) = &answer.problem {
        return Err(ProbeError::new(format!("pi {what}: {}", one_line(problem, 300)), INSTALL));
    }
    if answer.exit != Some(0) {
        return Err(ProbeError::new(
            format!("pi {what}{}", last_words(answer)),
            "run `pi --list-models` to see why",
        ));
    }
    Ok(())
}

fn last_words(answer: &ProbeAnswer) -> String {
    let stderr = String::from_utf8_lossy(&answer.stderr);
    let words = one_line(tail(stderr.trim(), 600), 400);
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// Whether a model that the run names can be used. `Ok(Some(..))` is a notice.
fn wanted_model(wanted: &str, available: &[ModelInfo]) -> Result<Option<String>, ProbeError> {
    let bare = without_thinking(wanted.trim());
    let known = |m: &ModelInfo| {
        m.name.eq_ignore_ascii_case(bare)
            || m.name.split_once('/').is_some_and(|(_, id)| id.eq_ignore_ascii_case(bare))
    };
    if available.iter().any(known) {
        return Ok(None);
    }
    let shown = name(wanted);
    match bare.split_once('/') {
        Some((provider, _)) if available.iter().any(|m| is_of(m, provider)) => Ok(Some(format!(
            "pi does not list the model `{shown}` but can sign in to `{}`; it is tried as named",
            name(provider)
        ))),
        Some((provider, _)) => Err(ProbeError::new(
            format!("pi cannot sign in to `{}`, which the model `{shown}` needs", name(provider)),
            format!("{SIGN_IN}; or name one of `pi --list-models`"),
        )),
        None if available
            .iter()
            .any(|m| m.name.to_ascii_lowercase().contains(&bare.to_ascii_lowercase())) =>
        {
            Ok(None)
        }
        None => Err(ProbeError::new(
            format!("pi knows no model `{shown}` that it can sign in to"),
            "name one of `pi --list-models` as provider/id",
        )),
    }
}

fn is_of(model: &ModelInfo, provider: &str) -> bool {
    model.name.split_once('/').is_some_and(|(p, _)| p.eq_ignore_ascii_case(provider))
}

fn without_thinking(model: &str) -> &str {
    match model.rsplit_once(':') {
        Some((bare, "off" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max")) => bare,
        _ => model,
    }
}

#[derive(Default)]
struct Answer {
    default: Option<ModelInfo>,
    models: Option<Vec<ModelInfo>>,
}

#[derive(Deserialize)]
struct Response {
    command: Option<String>,
    #[serde(default)]
    success: bool,
    data: Option<Box<serde_json::value::RawValue>>,
}

#[derive(Deserialize)]
struct State {
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Models {
    models: Vec<Model>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    id: String,
    provider: String,
    #[serde(default)]
    cost: Option<Cost>,
    #[serde(default)]
    context_window: Option<f64>,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(default)]
    input: f64,
    #[serde(default)]
    output: f64,
}

impl Answer {
    fn read(stdout: &[u8]) -> Self {
        let mut answer = Self::default();
        for line in stdout.split(|&b| b == b'\n') {
            let Ok(response) = serde_json::from_slice::<Response>(line) else { continue };
            let Some(data) = response.data.filter(|_| response.success) else { continue };
            match response.command.as_deref() {
                Some("get_state") => {
                    answer.default =
                        serde_json::from_str::<State>(data.get()).ok().and_then(|s| s.model).map(Model::info);
                }
                Some("get_available_models") => {
                    answer.models = serde_json::from_str::<Models>(data.get())
                        .ok()
                        .map(|m| m.models.into_iter().take(MAX_MODELS).map(Model::info).collect());
                }
                _ => {}
            }
        }
        answer
    }
}

impl Model {
    fn info(self) -> ModelInfo {
        ModelInfo {
            name: name(&format!("{}/{}", self.provider, self.id)),
            priced: self.cost.is_some_and(|c| c.input > 0.0 || c.output > 0.0),
            context: self.context_window.filter(|c| *c > 0.0).map_or(0, |c| c as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{"id":"state","type":"response","command":"get_state","success":true,"data":{"model":{"id":"mock-1","provider":"mock","cost":{"input":3,"output":15},"contextWindow":200000},"thinkingLevel":"off"}}"#;
    const MODELS: &str = r#"{"id":"models","type":"response","command":"get_available_models","success":true,"data":{"models":[{"id":"mock-1","provider":"mock","cost":{"input":3,"output":15},"contextWindow":200000},{"id":"free/x","provider":"router","cost":{"input":0,"output":0}}]}}"#;
    const NONE: &str = r#"{"id":"models","type":"response","command":"get_available_models","success":true,"data":{"models":[]}}"#;

    fn said(stdout: &str) -> ProbeAnswer {
        ProbeAnswer { exit: Some(0), stdout: stdout.into(), ..ProbeAnswer::default() }
    }

    fn probe(version: &str, second: ProbeAnswer, models: &[&str]) -> Result<Probed, ProbeError> {
        let request =
            ProbeRequest { args: Vec::new(), models: models.iter().map(|&m| m.to_owned()).collect() };
        assert_eq!(plan(&request).steps.len(), 2);
        read(&request, &[said(version), second])
    }

    #[test]
    fn a_signed_in_pi_says_its_model() {
        let found =
            probe("0.87.1\n", said(&format!("{STATE}\n{MODELS}\n")), &["mock/mock-1:high", "free/x", "mock"])
                .unwrap();
        assert_eq!((found.version.as_str(), found.notices.len()), ("0.87.1", 0));
        assert_eq!(
            found.model.map(|m| (m.name, m.priced, m.context)),
            Some(("mock/mock-1".to_owned(), true, 200_000))
        );
        assert!(!found.models[1].priced);
    }

    #[test]
    fn what_cannot_work_is_said_with_what_mends_it() {
        let models = || said(&format!("{STATE}\n{MODELS}\n"));
        for (version, second, wanted, what) in [
            ("0.74.2", models(), &[][..], "too old"),
            ("0.80.3", models(), &[], "too old"),
            ("hello", models(), &[], "did not say its version"),
            ("0.87.1", said(&format!("{STATE}\n{NONE}\n")), &[], "not signed in to any model"),
            ("0.87.1", said(STATE), &[], "did not say which models"),
            ("0.87.1", models(), &["anthropic/claude"], "cannot sign in to `anthropic`"),
            ("0.87.1", models(), &["nothing"], "knows no model `nothing`"),
            (
                "0.87.1",
                ProbeAnswer { exit: Some(1), stderr: b"Error: bad".to_vec(), ..ProbeAnswer::default() },
                &[],
                "Error: bad",
            ),
            (
                "0.87.1",
                ProbeAnswer { problem: Some("took too long".into()), ..ProbeAnswer::default() },
                &[],
                "took too long",
            ),
        ] {
            let error = probe(version, second, wanted).unwrap_err();
            assert!(error.what.contains(what), "{error:?}");
            assert!(!error.hint.is_empty());
        }
    }

    #[test]
    fn an_untried_version_and_an_unlisted_model_are_only_said() {
        let found = probe("0.91.0", said(&format!("{STATE}\n{MODELS}")), &["mock/new"]).unwrap();
        assert_eq!(found.notices.len(), 2, "{:?}", found.notices);
    }
}
