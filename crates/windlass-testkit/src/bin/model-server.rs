//! The scripted model server as a process of its own: `model-server SCRIPT.json [PORT]`.
//!
//! Prints its port on one line and runs until it is killed or its standard input ends. `GET /_script/requests` gives
//! what was asked so far, `POST /_script/release/NAME` opens a barrier.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program, its port is its output")]

use std::io::{Read, Write};
use std::process::ExitCode;
use windlass_testkit::{ModelServer, Script};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(path), port) = (args.next(), args.next()) else {
        eprintln!("usage: model-server SCRIPT.json [PORT]");
        return ExitCode::from(2);
    };
    let Ok(port) = port.map_or(Ok(0), |port| port.parse::<u16>()) else {
        eprintln!("error: the port must be a number from 0 to 65535");
        return ExitCode::from(2);
    };
    let script = std::fs::read_to_string(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_str::<Script>(&text).map_err(|error| error.to_string()));
    let script = match script {
        Ok(script) => script,
        Err(error) => {
            eprintln!("error: cannot use {path}: {error}");
            return ExitCode::from(2);
        }
    };
    let server = ModelServer::start_on(script, port);
    println!("{}", server.port());
    let _ = std::io::stdout().flush();
    let mut ignored = [0; 1024];
    while matches!(std::io::stdin().read(&mut ignored), Ok(count) if count > 0) {}
    ExitCode::SUCCESS
}
