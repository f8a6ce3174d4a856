//! Daemons that speak another protocol.

use crate::versions::{NEWER, assert_says, speaking};
use crate::world::World;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// A daemon of another version and protocol, as far as every version knows it. Gives what it was asked.
fn foreign(world: &World, version: &'static str, protocol: u32) -> Receiver<Value> {
    let run = world.user.home().join("run");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    engine_at(run.join("daemon.sock"), version, protocol)
}

/// An engine that answers at a socket, and what it was asked.
pub(crate) fn engine_at(socket: PathBuf, version: &'static str, protocol: u32) -> Receiver<Value> {
    let listener = UnixListener::bind(&socket).unwrap();
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                let call: Value = serde_json::from_str(&line).unwrap();
                let request = call["request"].clone();
                let op = request["op"].as_str().unwrap().to_owned();
                let (reply, leaves) = match op.as_str() {
                    "hello" => (
                        json!({ "hello": { "protocol": protocol, "version": version, "pid": 4_000_000 } }),
                        false,
                    ),
                    "status" => {
                        let doc = json!({ "running": true, "pid": 4_000_000, "version": version, "socket": null, "runs": 0 });
                        (json!({ "status": doc }), false)
                    }
                    "hand_over" => (json!("left"), true),
                    "stop" => (json!("ok"), true),
                    "cancel" => (json!({ "done": { "run": request["with"]["run"], "seq": 9 } }), false),
                    other => panic!("asked for {other}, which is not of every protocol"),
                };
                if op != "hello" {
                    tell.send(request).unwrap();
                }
                if leaves {
                    std::fs::remove_file(&socket).unwrap();
                }
                let frame = json!({ "reply": { "id": call["id"], "reply": reply } });
                // A client may be gone that has seen enough.
                let _ = stream.write_all(format!("{frame}\n").as_bytes());
                if leaves {
                    return;
                }
            }
        }
    });
    asked
}

/// An older command and a newer daemon that it cannot speak with: nothing is done, and it says what to do.
#[test]
fn a_newer_protocol_is_named_and_left_alone() {
    let world = speaking();
    let asked = foreign(&world, NEWER, 99);
    for words in [&["run", "-d", "--team", "count", "x"][..], &["daemon", "start"]] {
        let told = world.user.run(words).expect_code(5);
        assert_says(&told, &[NEWER, "protocol 99", OWN, "windlass daemon stop", "use windlass 9.0.0"]);
    }
    assert!(world.daemons().is_empty(), "none of its own was started");
    assert!(asked.try_recv().is_err(), "it was asked for nothing");
    // Looking needs no daemon.
    world.user.run(["list"]).expect_code(0);
    // It is seen, and it can be ended as the message says.
    assert_eq!(world.user.json(["daemon", "status", "--json"])["version"], NEWER);
    assert_eq!(asked.recv().unwrap()["op"], "status");
    world.user.run(["daemon", "stop"]).expect_code(0);
    assert_eq!(asked.recv().unwrap()["op"], "stop");
    let run = world.start("count");
    assert_eq!(world.served_by().0, OWN);
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
}

/// A newer command takes over whatever protocol the older daemon speaks, and asks for it once.
#[test]
fn an_older_protocol_is_taken_over() {
    let world = speaking();
    let asked = foreign(&world, "0.0.1", 0);
    let run = world.start("count");
    let request = asked.recv().unwrap();
    assert_eq!(
        (&request["op"], &request["with"]["version"]),
        (&json!("hand_over"), &json!(OWN)),
        "{request}"
    );
    assert!(asked.recv().is_err(), "nothing else was asked");
    assert_eq!(world.served_by().0, OWN);
    world.set("go");
    world.user.run(["wait", &run]).expect_code(0);
}

/// Of the same version and another protocol, as developers may meet it: nothing is guessed over, and a restart is what helps.
#[test]
fn another_protocol_of_the_same_version_needs_a_restart() {
    let world = speaking();
    let asked = foreign(&world, OWN, 0);
    let told = world.user.run(["daemon", "start"]).expect_code(5);
    assert_says(&told, &["windlass daemon restart"]);
    world.user.run(["daemon", "restart"]).expect_code(0);
    assert_eq!(asked.recv().unwrap()["op"], "hand_over");
    assert_eq!(world.served_by().0, OWN);
}
