//! A fictional company with a ledger, made by the program itself: fixed keys, fixed times, so that every byte is the same on every run.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]
#![allow(dead_code, reason = "each test program uses a part")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::digest::sha256;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::time::Timestamp;

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: u8,
}

impl Output {
    /// All of it, as a snapshot shows it; paths of this machine left out.
    pub(crate) fn shown(&self, world: &World) -> String {
        let dir = world.dir.display().to_string();
        let plain = |text: &str| text.replace(&format!("{dir}/"), "").replace(&dir, "FOLDER");
        let mut out = format!("exit {}\n", self.code);
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                out += &format!("--- {name}\n{}", plain(text));
            }
        }
        out
    }
}

/// The password in addresses of these tests. The program never prints it, whatever it is told to do and whatever goes wrong.
pub(crate) const PASSWORD: &str = "hunter2";

/// Runs the program in this process.
pub(crate) fn run(args: &[&str], stdin: &[u8]) -> Output {
    let (mut stdin, mut stdout, mut stderr) = (stdin, Vec::new(), Vec::new());
    let mut streams = countersign_cli::Streams {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        is_terminal: false,
        asks: false,
    };
    let args = std::iter::once("countersign").chain(args.iter().copied()).map(OsString::from);
    let code = countersign_cli::run(args, &mut streams);
    let text = |bytes| {
        let text = String::from_utf8(bytes).expect("the program prints UTF-8");
        assert!(!text.contains(PASSWORD), "{text}");
        text
    };
    Output { stdout: text(stdout), stderr: text(stderr), code }
}

/// A folder with the keys and the ledger of a test.
pub(crate) struct World {
    pub(crate) dir: PathBuf,
    /// What the ledger is called in it: a file where it ends in `.jsonl`, else a directory; or where it is elsewhere.
    pub(crate) name: String,
    pub(crate) now: Timestamp,
}

impl World {
    /// An empty folder of this name, and 09:00 on the first Monday of 2026.
    pub(crate) fn empty(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self { dir, name: "access.jsonl".into(), now: "2026-01-05T09:00:00.000Z".parse().unwrap() }
    }

    /// The same, for a ledger in a directory.
    pub(crate) fn empty_for_directory(name: &str) -> Self {
        Self { name: "access.ledger".into(), ..Self::empty(name) }
    }

    /// The same, for a ledger in a SQLite database.
    pub(crate) fn empty_for_sqlite(name: &str) -> Self {
        Self { name: "sqlite:access.db#access".into(), ..Self::empty(name) }
    }

    /// The same, for a ledger at an address that has nothing to do with the folder.
    pub(crate) fn empty_for(address: &str, name: &str) -> Self {
        Self { name: address.into(), ..Self::empty(name) }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    pub(crate) fn ledger(&self) -> String {
        match self.name.split_once(':') {
            Some(("sqlite", name)) => format!("sqlite:{}", self.path(name)),
            Some(_) => self.name.clone(),
            None => self.path(&self.name),
        }
    }

    /// The first segment of a ledger in a directory.
    pub(crate) fn segment(&self) -> PathBuf {
        Path::new(&self.ledger()).join("entries/00000000000000000000.jsonl")
    }

    /// The key file of a name, made on first use.
    pub(crate) fn key(&self, name: &str) -> String {
        let path = self.path(&format!("{}.key", name.replace([':', '/'], "-")));
        if !Path::new(&path).exists() {
            let seed = sha256(&[b"countersign/cli-test\0", name.as_bytes()]);
            let public = SecretKey::from_seed(&seed).public_key();
            let text = format!("countersign-key/v1\npublic {public}\nseed {}\n", STANDARD.encode(seed));
            fs::write(&path, text).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        path
    }

    /// The public half of a name's key, as events carry it.
    pub(crate) fn public(&self, name: &str) -> String {
        let text = fs::read_to_string(self.key(name)).unwrap();
        text.lines().nth(1).unwrap().strip_prefix("public ").unwrap().to_owned()
    }

    pub(crate) fn tick(&mut self, seconds: u64) {
        self.now = self.now.plus_seconds(seconds).unwrap();
    }

    /// Runs the program on the ledger: the command, the ledger, the rest.
    pub(crate) fn ask(&self, command: &str, rest: &[&str]) -> Output {
        let ledger = self.ledger();
        let args: Vec<&str> = [command, &ledger].into_iter().chain(rest.iter().copied()).collect();
        run(&args, b"")
    }

    /// Opens the ledger: three governors of whom two must sign, and a recorder.
    pub(crate) fn init(&self) -> Output {
        let governor =
            |name: &str| format!("user:{name}=person:{name}:{}", self.key(&format!("user:{name}")));
        let (dana, erik, fern) = (governor("dana"), governor("erik"), governor("fern"));
        let recorder = format!("service:recorder=person:olga:{}", self.key("service:recorder"));
        let (ledger, now) = (self.ledger(), self.now.to_string());
        run(
            &[
                "init",
                &ledger,
                "--name",
                "acme/access",
                "--governor",
                &fern,
                "--governor",
                &dana,
                "--governor",
                &erik,
                "--recorder",
                &recorder,
                "--now",
                &now,
            ],
            b"",
        )
    }

    /// Signs an event by an author, cosigners and provers, and gives the submission's file.
    pub(crate) fn sign(&self, who: &[&str], provers: &[&str], event: &str) -> Result<String, Output> {
        let name = format!(
            "{:.16}",
            sha256(&[event.as_bytes(), self.now.to_string().as_bytes()]).map(|b| format!("{b:02x}")).concat()
        );
        let (submission, now) = (self.path(&format!("{name}.signed")), self.now.to_string());
        let (ledger, key) = (self.ledger(), self.key(who[0]));
        let mut args = vec![
            "-q",
            "sign",
            "-y",
            &ledger,
            "--as",
            who[0],
            "--key",
            &key,
            "--now",
            &now,
            "--out",
            &submission,
        ];
        for cosigner in &who[1..] {
            args.extend(["--cosigner", cosigner]);
        }
        let output = run(&args, event.as_bytes());
        if output.code != 0 {
            return Err(output);
        }
        for signer in who[1..].iter().chain(provers) {
            let output = run(&["-q", "sign", "-y", "--cosign", &submission, "--key", &self.key(signer)], b"");
            assert_eq!(output.code, 0, "{}", output.stderr);
        }
        Ok(submission)
    }

    pub(crate) fn submit(&self, submission: &str) -> Output {
        let (ledger, key, now) = (self.ledger(), self.key("service:recorder"), self.now.to_string());
        run(&["submit", &ledger, submission, "--key", &key, "--now", &now], b"")
    }

    /// Signs, submits, and lets a minute pass. Panics where it is not recorded.
    pub(crate) fn state(&mut self, who: &[&str], provers: &[&str], event: &str) {
        let submission =
            self.sign(who, provers, event).unwrap_or_else(|output| panic!("{event}: {}", output.stderr));
        let output = self.submit(&submission);
        assert_eq!(output.code, 0, "{event}: {}{}", output.stdout, output.stderr);
        self.tick(60);
    }

    pub(crate) fn govern(&mut self, event: &str) {
        self.state(&["user:dana", "user:erik"], &[], event);
    }

    fn join(&mut self, name: &str) {
        let short = name.split_once(':').unwrap().1;
        let facts = if name.starts_with("user:") {
            format!("\"kind\": \"human\", \"person\": \"person:{short}\"")
        } else {
            "\"kind\": \"automation\", \"controllers\": [\"person:olga\"]".into()
        };
        self.govern(&format!("{{\"type\": \"principal.registered\", \"principal\": \"{name}\", {facts}}}"));
        let key = self.public(name);
        self.state(
            &["user:dana", "user:erik"],
            &[name],
            &format!("{{\"type\": \"key.enrolled\", \"enrolment\": \"first\", \"principal\": \"{name}\", \"key\": \"{key}\"}}"),
        );
    }

    pub(crate) fn assign(&mut self, capacity: &str, holder: &str, on: &str) {
        self.govern(&format!(
            "{{\"type\": \"capacity.assigned\", \"capacity\": \"{capacity}\", \"holder\": \"{holder}\", \"scope\": {{\"on\": \"{on}\"}}}}"
        ));
    }

    /// A company: people, capacities, two resources, a policy. 20 entries.
    pub(crate) fn company(name: &str) -> Self {
        let mut world = Self::founded(name);
        world.govern(POLICY);
        world
    }

    /// The company without a policy: governors still stand in.
    pub(crate) fn founded(name: &str) -> Self {
        Self::empty(name).found()
    }

    /// Opens the ledger and brings it as far as [`World::founded`].
    pub(crate) fn found(self) -> Self {
        let mut world = self;
        let opened = world.init();
        assert_eq!(opened.code, 0, "{}", opened.stderr);
        world.tick(60);
        for name in ["user:alice", "user:bob", "user:carol", "user:ben", "user:rex", "service:iam"] {
            world.join(name);
        }
        world.govern("{\"type\": \"resource.registered\", \"resource\": \"org:acme\", \"tier\": \"low\"}");
        world.govern(
            "{\"type\": \"resource.registered\", \"resource\": \"db:acme/payroll\", \"tier\": \"high\",
              \"governed_by\": \"org:acme\", \"process\": \"payroll/month-end\", \"environment\": \"production\"}",
        );
        world.assign("business_owner", "user:bob", "org:acme");
        world.assign("control_owner", "user:carol", "*");
        world.assign("iam_enforcer", "service:iam", "*");
        world.assign("revoker", "user:rex", "*");
        world
    }

    /// The company after a grant that ended, a delegation, and a grant that stands.
    pub(crate) fn history(name: &str) -> Self {
        Self::founded(name).live_on()
    }

    /// From [`World::founded`] to [`World::history`].
    pub(crate) fn live_on(self) -> Self {
        let mut world = self;
        world.govern(POLICY);
        world.state(
            &["user:bob"],
            &[],
            &format!(
            "{{\"type\": \"delegation.granted\", \"basis\": \"#{}\", \"delegate\": \"user:ben\", \"depth\": 0,
               \"scope\": {{\"on\": \"org:acme\"}}, \"until\": \"2026-02-01T00:00:00.000Z\"}}", BOB_OWNS),
        );
        world.grant(REQUEST, "user:ben");
        world.state(&["user:rex"], &[],
            "{\"type\": \"access.revoked\", \"grant\": \"#24\", \"reason\": {\"text\": \"Alice moved to another team.\"}}");
        world.tick(86_400);
        world.grant(REQUEST, "user:bob");
        world
    }

    /// Requests, approves and grants.
    pub(crate) fn grant(&mut self, request: &str, owner: &str) {
        self.state(&["user:alice"], &[], request);
        let at = self.size() - 1;
        self.state(
            &[owner],
            &[],
            &format!(
                "{{\"type\": \"access.approved\", \"request\": \"#{at}\", \"capacity\": \"business_owner\",
               \"need\": {{\"text\": \"Alice runs the close this month.\"}}}}"
            ),
        );
        self.state(
            &["user:carol"],
            &[],
            &format!(
                "{{\"type\": \"access.approved\", \"request\": \"#{at}\", \"capacity\": \"control_owner\",
               \"need\": {{\"text\": \"Read access only, and logged.\"}}, \"seconds\": 604800}}"
            ),
        );
        self.state(
            &["service:iam"],
            &[],
            &format!("{{\"type\": \"access.granted\", \"request\": \"#{at}\"}}"),
        );
    }

    pub(crate) fn size(&self) -> usize {
        if self.name.contains(':') {
            return self.ask("export", &["-", "-q"]).stdout.lines().count();
        }
        let file = if self.name.ends_with(".jsonl") { self.ledger().into() } else { self.segment() };
        fs::read_to_string(file).unwrap().lines().count()
    }

    pub(crate) fn ledger_id(&self) -> String {
        let output = self.ask("verify", &["--json"]);
        let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        json["ledger"].as_str().unwrap().to_owned()
    }
}

/// Same keys, same times: byte for byte the same ledger, and the same answers.
pub(crate) fn assert_same(one: &World, other: &World) {
    let commands: [&[&str]; 13] = [
        &["export", "-", "-q"],
        &["state"],
        &["state", "--kind", "capacities", "--format", "tsv"],
        &["state", "--kind", "requests", "--json"],
        &["state", "--at", "2026-01-05T09:24:00Z"],
        &["who", "db:acme/payroll"],
        &["what", "user:alice", "--json"],
        &["why", "user:alice", "reader", "db:acme/payroll"],
        &["check", "user:alice", "reader", "db:acme/payroll", "--at", "end"],
        &["check", "user:bob", "reader", "db:acme/payroll", "--at", "end"],
        &["log"],
        &["show", "17"],
        &["show", "99"],
    ];
    for command in commands {
        let (one, other) = (one.ask(command[0], &command[1..]), other.ask(command[0], &command[1..]));
        let answer = |output: Output| (output.code, output.stdout, output.stderr);
        assert_eq!(answer(one), answer(other), "{command:?}");
    }
}

/// The entry that makes Bob an owner.
pub(crate) const BOB_OWNS: u64 = 15;

pub(crate) const REQUEST: &str = "{
  \"type\": \"access.requested\",
  \"subject\": \"user:alice\", \"role\": \"reader\", \"resource\": \"db:acme/payroll\",
  \"tier\": \"high\", \"hold\": {\"seconds\": 2592000}, \"purpose\": \"payroll/month-end\",
  \"need\": {\"text\": \"Month-end close for January\"}
}";

pub(crate) const POLICY: &str = "{
  \"type\": \"policy.published\", \"name\": \"base\", \"scope\": {\"on\": \"*\"},
  \"document\": {
    \"summary\": {\"text\": \"The owner vouches for the need, security for the limits.\"},
    \"paths\": [{
      \"name\": \"owner-and-control\", \"distinct_persons\": true,
      \"path\": {\"all\": [{\"capacity\": \"business_owner\"}, {\"capacity\": \"control_owner\"}]}
    }],
    \"tiers\": [{\"tier\": \"high\", \"max_seconds\": 2592000}, {\"tier\": \"low\", \"max_seconds\": 7776000}]
  }
}";
