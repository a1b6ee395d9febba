//! The service as its clients see it: a process of its own on a store of every kind, spoken to over HTTP.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::core::checkpoint::Checkpoint;
use countersign::core::digest::NodeHash;
use countersign::core::event::*;
use countersign::core::id::{Process, Resource, Role};
use countersign::core::key::SignerKey as _;
use countersign::core::statement::SignedStatement;
use countersign::core::time::Seconds;
use countersign::core::wire::Text;
use countersign::ledger::{Author, Clock as _, Follow, Ledger, SystemClock, View};
use countersign::store::{Store as _, checkpoint_size};
use countersign::stores::{Options, open};
use countersign_ledger::testing::{Founded, ManualClock, key};
use countersign_test_postgres::{Database, cluster, server};
use serde_json::{Value, json};

/// Longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// How many clients submit at once.
const CLIENTS: usize = 4;

/// Stores of every kind that this machine has, each with a ledger that has people, a resource and a policy: an approval by a business
/// owner is enough.
fn companies(test: &str) -> Vec<Company> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let mut addresses = vec![
        (format!("file:{}", dir.join("acme.ledger").display()), None),
        (format!("sqlite:{}#acme", dir.join("acme.db").display()), None),
    ];
    if let Some(server) = server(test) {
        let database = server.database();
        addresses.push((format!("{}#acme", database.url()), Some(database)));
    }
    addresses.into_iter().map(|(address, database)| Company::found(address, database, &dir)).collect()
}

struct Company {
    address: String,
    key: PathBuf,
    /// Ask for access; the first is Alice.
    clients: Vec<Author>,
    /// Owns the business.
    olga: Author,
    /// May grant.
    iam: Author,
    _database: Option<Database>,
}

impl Company {
    fn found(address: String, database: Option<Database>, dir: &Path) -> Self {
        let recorder = key("service:recorder");
        let path = dir.join("recorder.key");
        let seed = STANDARD.encode(recorder.expose_seed());
        fs::write(&path, format!("countersign-key/v1\npublic {}\nseed {seed}\n", recorder.public_key()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let founding = async {
            let store = open(&address.parse().unwrap(), &Options::new()).await.unwrap();
            // Now, so that the service's own clock goes on from it.
            let clock = ManualClock::new(SystemClock::new().wall());
            let acme = Founded::found(store, clock, |recorder| recorder).await.unwrap();
            let mut clients = vec![acme.enrol("user:alice").await.unwrap()];
            for number in 1..CLIENTS {
                clients.push(acme.enrol(&format!("user:client{number}")).await.unwrap());
            }
            let olga = acme.enrol("user:olga").await.unwrap();
            let iam = acme.enrol("automation:iam").await.unwrap();
            acme.assign(Capacity::IamEnforcer, &iam).await.unwrap();
            acme.assign(Capacity::BusinessOwner, &olga).await.unwrap();
            acme.let_owners_decide("db:books").await.unwrap();
            acme.ledger.close().await.unwrap();
            (clients, olga, iam)
        };
        let (clients, olga, iam) = block_on(founding);
        Self { address, key: path, clients, olga, iam, _database: database }
    }

    fn serve(&self) -> Service {
        Service::start(&["--store", &self.address, "--key", self.key.to_str().unwrap()])
    }

    fn follow(&self) -> Service {
        Service::start(&["--store", &self.address, "--follow"])
    }

    /// What is in the store by now, every entry verified and judged from genesis on, and held against the checkpoint that is kept.
    fn view(&self) -> Arc<View> {
        block_on(async {
            let store = open(&self.address.parse().unwrap(), &Options::new().read_only()).await.unwrap();
            Ledger::follow_with(store, Follow::new().from_genesis()).await.unwrap().current()
        })
    }

    /// A checkpoint of the recorder over an entry more than there is, as somebody has it whose store was put back.
    fn checkpoint_over_more(&self) -> Vec<u8> {
        let view = self.view();
        let ledger = view.state().ledger_id().unwrap();
        let root = NodeHash::new([7; 32]);
        let over = Checkpoint::new(ledger.as_str(), view.head().size + 1, root).unwrap();
        over.sign(&key("service:recorder")).unwrap().to_string().into_bytes()
    }

    /// Holds receipts against the entries, and the checkpoint against how many there are.
    fn assert_recorded(&self, receipts: &[Value]) {
        let size = self.view().head().size;
        let (entries, note) = block_on(async {
            let store = open(&self.address.parse().unwrap(), &Options::new().read_only()).await.unwrap();
            let mut entries = Vec::new();
            while (entries.len() as u64) < size {
                entries.extend(store.read(entries.len() as u64, 512).await.unwrap());
            }
            (entries, store.checkpoint().await.unwrap().unwrap())
        });
        for receipt in receipts {
            let bytes = entries[receipt["seq"].as_u64().unwrap() as usize].clone();
            let entry = countersign::core::entry::Entry::parse(bytes).unwrap();
            assert_eq!(receipt["leaf"], json!(entry.leaf().to_string()));
            assert_eq!(receipt["statement"], json!(entry.signed().digest().to_string()));
        }
        assert_eq!(checkpoint_size(&note), Some(size), "the last checkpoint is over all entries");
    }

    fn request(&self, client: usize) -> SignedStatement {
        let author = &self.clients[client];
        let requested = AccessRequested {
            ends_on: Default::default(),
            expires: None,
            hold: Hold::Seconds(Seconds::new(3_600).unwrap()),
            need: text("close the month"),
            purpose: Process::new("billing").unwrap(),
            replaces: None,
            resource: Resource::new("db:books").unwrap(),
            role: Role::new("reader").unwrap(),
            subject: author.principal().clone(),
            tier: Tier::Medium,
        };
        author.state(requested).sign().unwrap()
    }

    fn approval(&self, by: &Author, request: &SignedStatement) -> SignedStatement {
        let (view, request) = (self.view(), request.digest());
        let approved = AccessApproved {
            capacity: Capacity::BusinessOwner,
            clause: view.state().clause_of_request(&request, view.state().recorded_at()).unwrap(),
            need: text("the books have to be closed"),
            request,
            seconds: None,
        };
        by.state(approved).seen(view.head()).sign().unwrap()
    }

    fn grant(&self, request: &SignedStatement) -> SignedStatement {
        let view = self.view();
        let event = view.state().propose_grant(&request.digest(), view.state().recorded_at()).unwrap();
        self.iam.state(event).seen(view.head()).sign().unwrap()
    }

    /// Alice asks, Olga approves, and it is granted.
    fn give_access(&self, service: &Service) -> (SignedStatement, u64) {
        let request = self.request(0);
        service.record(&request);
        service.record(&self.approval(&self.olga, &request));
        let grant = self.grant(&request);
        let receipt = service.record(&grant);
        (grant, receipt["seq"].as_u64().unwrap())
    }

    fn revocation(&self, grant: &SignedStatement) -> SignedStatement {
        let revoked = AccessRevoked { grant: grant.digest(), reason: text("the month is closed") };
        self.olga.state(revoked).sign().unwrap()
    }
}

/// The service as a process of its own; ended with this.
struct Service {
    child: Child,
    url: String,
    agent: ureq::Agent,
}

struct Reply {
    status: u16,
    retry_after: bool,
    request_id: Option<String>,
    json: Value,
}

impl Service {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_axum_service"))
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE));
        let stdout = child.stdout.take().unwrap();
        let mut service = Self { child, url: String::new(), agent: agent.build().new_agent() };
        let (says, said) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            says.send(read.map(|_| line))
        });
        let line = said.recv_timeout(DEADLINE).expect("it starts in time").unwrap();
        let url = line.trim_end().strip_prefix("listening on ").map(str::to_owned);
        service.url = url.expect("it says where it listens");
        service
    }

    fn try_post(&self, path: &str, body: &[u8]) -> Result<Reply, ureq::Error> {
        let request = self.agent.post(format!("{}{path}", self.url)).header("x-request-id", "7f3a");
        reply(request.send(body)?)
    }

    fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.try_post(path, body).unwrap()
    }

    fn health(&self) -> Reply {
        reply(self.agent.get(format!("{}/healthz", self.url)).call().unwrap()).unwrap()
    }

    /// Submits what has to be recorded; the receipt.
    fn record(&self, signed: &SignedStatement) -> Value {
        let reply = self.post("/statements", &signed.to_bytes());
        assert_eq!(reply.status, 201, "{}", reply.json);
        reply.json
    }

    /// May Alice read the books, as of an entry?
    fn may_alice_read(&self, min_seq: u64) -> Value {
        let reply = self.post(&format!("/access/v1/evaluation?min_seq={min_seq}"), question().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.json);
        reply.json
    }

    fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// How it ends, once it was told to.
    fn ended(mut self) -> ExitStatus {
        let mut status = None;
        wait_until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn stop(self) {
        self.terminate();
        assert!(self.ended().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Whatever the test came to, nothing is left running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reply(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply, ureq::Error> {
    let body = response.body_mut().read_to_string()?;
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    Ok(Reply {
        status: response.status().as_u16(),
        retry_after: header("retry-after").is_some(),
        request_id: header("x-request-id"),
        json: serde_json::from_str(&body).unwrap_or(Value::String(body)),
    })
}

fn question() -> String {
    json!({
        "subject": { "type": "user", "id": "alice", "properties": { "department": "accounting" } },
        "action": { "name": "reader" },
        "resource": { "type": "db", "id": "books" },
        "context": { "time": "2026-01-05T09:00:00Z" },
    })
    .to_string()
}

fn text(words: &str) -> Text {
    Text::new(words).unwrap()
}

fn wait_until(is_so: impl FnMut() -> bool) {
    assert!(is_within_deadline(is_so), "not within {DEADLINE:?}");
}

fn is_within_deadline(mut is_so: impl FnMut() -> bool) -> bool {
    (0..DEADLINE.as_millis() / 5).any(|_| {
        let so = is_so();
        if !so {
            thread::sleep(Duration::from_millis(5));
        }
        so
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn checks_follow_what_clients_submit() {
    for company in companies("checks_follow_what_clients_submit") {
        let service = company.serve();
        let before = service.post("/check", question().as_bytes());
        assert_eq!((before.status, before.request_id.as_deref()), (200, Some("7f3a")));
        assert_eq!(
            (&before.json["decision"], &before.json["context"]["reason"]),
            (&json!(false), &json!("no_grant"))
        );

        let request = company.request(0);
        let first = service.record(&request);
        let mut line = request.to_bytes();
        line.push(b'\n');
        assert_eq!(service.post("/statements", &line).json, first, "the same statement has one receipt");

        let own = service.post("/statements", &company.approval(&company.clients[0], &request).to_bytes());
        assert_eq!((own.status, &own.json["recorded"]), (422, &json!(false)), "{}", own.json);
        assert!(own.json["code"].is_string() && own.json["detail"].is_string(), "{}", own.json);
        assert!(!own.json["requirements"].as_array().unwrap().is_empty(), "{}", own.json);

        let mut receipts = vec![first];
        receipts.push(service.record(&company.approval(&company.olga, &request)));
        let grant = company.grant(&request);
        let granted = service.record(&grant);
        let allowed = service.may_alice_read(granted["seq"].as_u64().unwrap());
        assert_eq!(allowed["decision"], json!(true));
        assert_eq!(allowed["context"]["grant"], granted["statement"]);
        let revoked = service.record(&company.revocation(&grant));
        let denied = service.may_alice_read(revoked["seq"].as_u64().unwrap());
        assert_eq!((&denied["decision"], &denied["context"]["reason"]), (&json!(false), &json!("no_grant")));
        receipts.extend([granted, revoked]);

        let health = service.health();
        assert_eq!((health.status, &health.json["records"]), (200, &json!(true)));
        assert_eq!(
            (&health.json["size"], &health.json["durability"]),
            (&denied["context"]["size"], &json!("local_sync"))
        );
        service.stop();
        company.assert_recorded(&receipts);
    }
}

#[test]
fn what_is_no_question_and_no_statement_is_told_so() {
    let [company, ..] = &companies("what_is_no_question_and_no_statement_is_told_so")[..] else {
        unreachable!()
    };
    let service = company.serve();
    let asked = question();
    for (name, body) in [
        ("no JSON", "alice?".to_owned()),
        ("no subject", r#"{"action":{"name":"reader"},"resource":{"type":"db","id":"books"}}"#.to_owned()),
        ("a role that is none", asked.replace("\"reader\"", "\"Reader!\"")),
        ("an action that is text", asked.replace(r#"{"name":"reader"}"#, "\"reader\"")),
        ("a resource that is none", asked.replace("books", "the books")),
        ("a subject that is none", asked.replace("\"alice\"", "\"Alice Smith\"")),
        ("a second spelling of a name", asked.replace("\"db\"", "\"db:x\"")),
    ] {
        let reply = service.post("/access/v1/evaluation", body.as_bytes());
        assert_eq!(
            (reply.status, &reply.json["code"]),
            (400, &json!("request")),
            "case: {name}: {}",
            reply.json
        );
    }
    assert_eq!(service.post("/check?min_seq=soon", asked.as_bytes()).status, 400);

    let signed = company.request(0).to_bytes();
    let cut = service.post("/statements", &signed[..signed.len() / 2]);
    assert_eq!((cut.status, &cut.json["code"]), (400, &json!("json")), "{}", cut.json);
    assert_eq!(cut.json["offset"], json!(signed.len() / 2));
    let forged = String::from_utf8(signed).unwrap().replace("close the month", "close the year!");
    let forged = service.post("/statements", forged.as_bytes());
    assert_eq!((forged.status, &forged.json["code"]), (400, &json!("signature")), "{}", forged.json);
    let long = service.post("/statements", &vec![b' '; 65_537]);
    assert_eq!(long.status, 413, "{}", long.json);
    service.stop();
    company.assert_recorded(&[]);
}

#[test]
fn a_follower_on_another_port_answers_from_what_the_other_recorded() {
    for company in companies("a_follower_on_another_port_answers_from_what_the_other_recorded") {
        let (service, follower) = (company.serve(), company.follow());
        let (grant, seq) = company.give_access(&service);
        assert_eq!(follower.may_alice_read(seq)["decision"], json!(true));
        let revoked = service.record(&company.revocation(&grant))["seq"].as_u64().unwrap();
        let denied = follower.may_alice_read(revoked);
        assert_eq!(denied["decision"], json!(false));
        assert_eq!(denied["context"]["size"], json!(revoked + 1));
        // Nobody has recorded this one: an older state is no answer.
        let reply = follower.post(&format!("/check?min_seq={}", revoked + 1), question().as_bytes());
        assert_eq!((reply.status, reply.retry_after, &reply.json["code"]), (503, true, &json!("stale")));
        assert_eq!(follower.post("/statements", &company.request(0).to_bytes()).status, 404);
        let health = follower.health();
        assert_eq!((health.status, &health.json["records"]), (200, &json!(false)));
        assert_eq!(health.json["size"], json!(revoked + 1));
        // It lives longer than the one that records, and is ended like it.
        service.stop();
        assert_eq!(follower.may_alice_read(revoked)["decision"], json!(false));
        follower.stop();
    }
}

#[test]
fn a_service_that_is_told_to_stop_answers_what_is_under_way_and_loses_nothing() {
    for company in companies("a_service_that_is_told_to_stop_answers_what_is_under_way_and_loses_nothing") {
        let service = company.serve();
        let address = service.url.strip_prefix("http://").unwrap().to_owned();
        // One request is known to be under way: the service has asked for its body.
        let last = company.request(0);
        let body = last.to_bytes();
        let mut open = TcpStream::connect(&address).unwrap();
        open.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            open,
            "POST /statements HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            body.len()
        )
        .unwrap();
        let mut asked = [0; 25];
        open.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");

        // And clients go on until nobody answers; what they get no answer to stays unknown.
        let founded = service.health().json["size"].as_u64().unwrap();
        let (told, unknown) = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (service, company) = (&service, &company);
                    scope.spawn(move || {
                        let mut receipts = Vec::new();
                        loop {
                            let signed = company.request(client);
                            match service.try_post("/statements", &signed.to_bytes()) {
                                Ok(reply) if reply.status == 201 => receipts.push(reply.json),
                                Ok(reply) => panic!("{}: {}", reply.status, reply.json),
                                Err(_) => return (receipts, signed),
                            }
                        }
                    })
                })
                .collect();
            wait_until(|| service.health().json["size"].as_u64().unwrap() > founded + 40);
            service.terminate();
            let ended = clients.into_iter().map(|client| client.join().unwrap());
            ended.unzip::<Vec<Value>, SignedStatement, Vec<_>, Vec<_>>()
        });
        let mut receipts: Vec<Value> = told.into_iter().flatten().collect();
        wait_until(|| TcpStream::connect(&address).is_err());
        open.write_all(&body).unwrap();
        let mut answer = String::new();
        open.read_to_string(&mut answer).unwrap();
        let (head, receipt) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
        receipts.push(serde_json::from_str(receipt).unwrap());
        assert!(service.ended().success());
        company.assert_recorded(&receipts);

        // Whoever does not know submits the same again.
        let service = company.serve();
        receipts.extend(unknown.iter().map(|signed| service.record(signed)));
        let mut places: Vec<u64> = receipts.iter().map(|receipt| receipt["seq"].as_u64().unwrap()).collect();
        places.sort_unstable();
        service.stop();
        company.assert_recorded(&receipts);
        assert!(places.into_iter().eq(founded..company.view().head().size), "each once, and nothing else");
    }
}

#[test]
fn who_is_cut_off_from_the_store_says_so_until_it_is_back() {
    let test = "who_is_cut_off_from_the_store_says_so_until_it_is_back";
    let Some(cluster) = cluster(test) else { return };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&dir).unwrap();
    let company = Company::found(format!("{}#acme", cluster.url()), None, &dir);
    let service = company.serve();
    let follower = Service::start(&["--store", &company.address, "--follow", "--max-age", "2"]);
    let (grant, seq) = company.give_access(&service);
    assert_eq!(follower.may_alice_read(seq)["decision"], json!(true));

    cluster.stop_immediately();
    let stale = || Some(follower.post("/check", question().as_bytes())).filter(|reply| reply.status != 200);
    let mut told = None;
    wait_until(|| {
        told = stale();
        told.is_some()
    });
    let told = told.unwrap();
    assert_eq!((told.status, told.retry_after, &told.json["code"]), (503, true, &json!("stale")));
    let revocation = company.revocation(&grant);
    let lost = service.post("/statements", &revocation.to_bytes());
    assert_eq!((lost.status, lost.retry_after), (503, true), "{}", lost.json);

    cluster.start();
    wait_until(|| service.post("/statements", &revocation.to_bytes()).status == 201);
    wait_until(|| stale().is_none());
    let revoked = service.record(&revocation)["seq"].as_u64().unwrap();
    assert_eq!(follower.may_alice_read(revoked)["decision"], json!(false));
    service.stop();
    follower.stop();
}

#[test]
fn what_it_is_started_with_is_refused_by_name_and_without_passwords() {
    let [company, ..] = &companies("what_it_is_started_with_is_refused_by_name_and_without_passwords")[..]
    else {
        unreachable!()
    };
    let key = company.key.to_str().unwrap();
    let refused = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum_service"));
        command.args(args).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // What is not refused would serve for ever.
        let has_ended = is_within_deadline(|| child.try_wait().unwrap().is_some());
        if !has_ended {
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert!(has_ended, "it serves, started with {args:?}");
        assert!(!output.status.success() && output.stdout.is_empty());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!told.contains("hunter2"), "{told}");
        told
    };
    let told = refused(&["--store", "postgres://ann:hunter2@/#No Such Name", "--key", key]);
    assert!(told.starts_with("axum_service: "), "{told}");
    // Of a ledger that was put back to an older state somebody has a checkpoint over more.
    let kept = company.key.with_file_name("kept.checkpoint");
    let [larger, wrong] = [company.checkpoint_over_more(), b"no checkpoint\n".to_vec()];
    for (note, says) in [(larger, "checkpoint"), (wrong, "is no checkpoint")] {
        fs::write(&kept, note).unwrap();
        for role in [&["--key", key][..], &["--follow"][..]] {
            let told = refused(
                &[&["--store", &company.address, "--checkpoint", kept.to_str().unwrap()], role].concat(),
            );
            assert!(told.contains(says), "{told}");
        }
    }
    let told = refused(&["--store", "file:/nowhere", "--key", key]);
    assert!(told.contains("/nowhere"), "{told}");
    fs::set_permissions(&company.key, fs::Permissions::from_mode(0o640)).unwrap();
    let told = refused(&["--store", &company.address, "--key", key]);
    assert!(told.contains("can be read by others"), "{told}");
}
