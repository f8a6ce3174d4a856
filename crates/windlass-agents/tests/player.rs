//! The player of rehearsals as a process of its own: this program starts itself, as the windlass binary does with its hidden
//! subcommand, and understands what comes out.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use windlass_agents::rehearsal::play_process;
use windlass_agents::{Ending, Stream, WorkerEnd, WorkerEvent, adapter};
use windlass_events::{ErrorClass, Outcome, RuntimeKind};

const SCRIPT: &str = r#"{"version":1,"scenes":[
  {"when":{"step":"hear"},"do":[{"await_steer":{"ms":60000}},{"answer":"heard"}]},
  {"when":{"role":"executor","attempt":2,"prompt_has":"the sum"},"do":[
    {"write":{"path":"a.txt","content":"1"}},{"run":{"command":["sh","-c","echo 2 >> a.txt"]}},{"stderr":"a word"},{"answer":"done é"}]},
  {"do":[{"exit":7}]}]}"#;

type Outcomes = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let [_, play, script] = &args[..]
        && play == "play"
    {
        let code = play_process(Path::new(script), |name| std::env::var(name).ok());
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    match a_scene_is_played()
        .and_then(|()| a_person_is_heard())
        .and_then(|()| what_cannot_be_played_is_said())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn start(dir: &Path, script: &str, step: &str, attempt: &str) -> Result<Child, Box<dyn std::error::Error>> {
    let file = dir.join("script.json");
    std::fs::write(&file, script)?;
    Ok(Command::new(std::env::current_exe()?)
        .args([Path::new("play"), &file])
        .current_dir(dir)
        .env("WINDLASS_STEP", step)
        .env("WINDLASS_ROLE", "executor")
        .env("WINDLASS_ATTEMPT", attempt)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?)
}

fn understood(
    mut child: Child,
    input: &[u8],
) -> Result<(Vec<WorkerEvent>, Ending), Box<dyn std::error::Error>> {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    let mut parser = adapter(RuntimeKind::Rehearsal).and_then(|a| a.parser(None, None)).ok_or("no parser")?;
    let mut events = Vec::new();
    parser.feed(Stream::Stdout, &output.stdout, &mut events);
    parser.feed(Stream::Stderr, &output.stderr, &mut events);
    let ending =
        parser.finish(&WorkerEnd { exit: output.status.code(), ..WorkerEnd::default() }, &mut events);
    Ok((events, ending))
}

fn a_scene_is_played() -> Outcomes {
    let dir = tempfile::tempdir()?;
    let prompt = b"{\"type\":\"prompt\",\"text\":\"mend the sum\"}\n";
    let (events, ending) = understood(start(dir.path(), SCRIPT, "fix", "2")?, prompt)?;
    assert_eq!((ending.outcome, ending.result.as_deref()), (Outcome::Clean, Some("done é".as_bytes())));
    assert!(events.contains(&WorkerEvent::Log { line: "a word".into() }), "{events:?}");
    assert_eq!(std::fs::read_to_string(dir.path().join("a.txt"))?, "12\n");
    // Another attempt is another scene.
    assert_eq!(understood(start(dir.path(), SCRIPT, "fix", "1")?, prompt)?.1.outcome, Outcome::Exit(7));
    Ok(())
}

fn a_person_is_heard() -> Outcomes {
    let dir = tempfile::tempdir()?;
    let mut child = start(dir.path(), SCRIPT, "hear", "1")?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    stdin.write_all(b"{\"type\":\"prompt\",\"text\":\"p\"}\n")?;
    let mut first = String::new();
    stdout.read_line(&mut first)?;
    let steer =
        adapter(RuntimeKind::Rehearsal).and_then(|a| a.steer("r-1", "the moon")).ok_or("cannot hear")?;
    stdin.write_all(&steer)?;
    // Standard input stays open: the player leaves by itself.
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    assert!(rest.contains("Heard: the moon") && rest.trim_end().ends_with("{\"type\":\"end\"}"), "{rest}");
    assert!(child.wait()?.success());
    drop(stdin);
    Ok(())
}

fn what_cannot_be_played_is_said() -> Outcomes {
    let dir = tempfile::tempdir()?;
    for (script, input) in
        [("{", &b"{\"type\":\"prompt\",\"text\":\"p\"}\n"[..]), (SCRIPT, b""), (SCRIPT, b"hello\n")]
    {
        let (events, ending) = understood(start(dir.path(), script, "fix", "2")?, input)?;
        assert_eq!(ending.failure.map(|f| f.class), Some(ErrorClass::Exit));
        assert!(
            events.iter().any(|e| matches!(e, WorkerEvent::Log { line } if line.starts_with("rehearsal:")))
        );
    }
    Ok(())
}
