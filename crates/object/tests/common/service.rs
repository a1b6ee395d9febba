//! A service that does to requests what networks and services do: it loses them, loses their replies, and holds them up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use countersign_object::object_store::memory::InMemory;
use countersign_object::object_store::path::Path;
use countersign_object::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::task::yield_now;

/// What is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Put,
    Get,
    List,
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives.
    Lost,
    /// It takes effect, and its reply never arrives.
    ReplyLost,
    /// It is given up, and takes effect so many requests later.
    Late(u64),
    /// It does nothing, and is answered as if the name were taken.
    SaidTaken,
    /// It takes effect, or not, and nobody is ever told anything.
    Silence { effect: bool },
}

/// How it treats the condition that no object of a name is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creates {
    /// As asked for.
    Once,
    /// It looks, and then puts.
    LooksFirst,
    /// It does not mind it.
    Overwrites,
    /// It minds it within a moment alone, and forgets it afterwards.
    OnlyAtOnce,
    /// It tells everybody that they were first, and keeps what the first put.
    TellsAll,
    /// It tells the first alone that it was, and keeps what the last put.
    KeepsTheLast,
    /// It has no such thing.
    Never,
    /// It tells nobody that they were first.
    TellsNobody,
    /// It refuses to put anything.
    Refuses,
}

type Plan = Box<dyn Fn(u64, Call) -> Option<Fault> + Send + Sync>;

pub struct Service {
    inner: Arc<InMemory>,
    creates: Creates,
    plan: Plan,
    state: Mutex<State>,
    /// Requests take their time, in an order that this seed decides, and go on without whoever made them.
    chaos: Option<Mutex<Random>>,
}

#[derive(Default)]
struct State {
    calls: u64,
    puts: u64,
    gets: u64,
    lists: u64,
    late: Vec<(u64, Path, PutPayload, PutOptions)>,
    races: Vec<Path>,
    calm: bool,
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

impl Service {
    pub fn new() -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            creates: Creates::Once,
            plan: Box::new(|_, _| None),
            state: Mutex::default(),
            chaos: None,
        }
    }

    pub fn creating(mut self, creates: Creates) -> Self {
        self.creates = creates;
        self
    }

    pub fn failing(mut self, plan: impl Fn(u64, Call) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.plan = Box::new(plan);
        self
    }

    pub fn chaotic(mut self, seed: u64) -> Self {
        self.chaos = Some(Mutex::new(Random(seed)));
        self
    }

    /// What it keeps, to be looked at and changed without any fault.
    pub fn inner(&self) -> Arc<InMemory> {
        self.inner.clone()
    }

    pub fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    /// How often something was put, got and listed.
    pub fn counts(&self) -> (u64, u64, u64) {
        let state = self.state.lock().unwrap();
        (state.puts, state.gets, state.lists)
    }

    /// Everything that is still held up takes effect, and nothing fails any more.
    pub async fn settle(&self) {
        let late = {
            let mut state = self.state.lock().unwrap();
            state.calm = true;
            std::mem::take(&mut state.late)
        };
        for (_, name, payload, options) in late {
            let _ = self.inner.put_opts(&name, payload, options).await;
        }
    }

    async fn begin(&self, call: Call) -> Option<Fault> {
        let (number, due) = {
            let mut state = self.state.lock().unwrap();
            let number = state.calls;
            state.calls += 1;
            match call {
                Call::Put => state.puts += 1,
                Call::Get => state.gets += 1,
                Call::List => state.lists += 1,
            }
            let (due, later) =
                std::mem::take(&mut state.late).into_iter().partition(|(at, ..)| *at <= number);
            state.late = later;
            (number, due)
        };
        let due: Vec<(u64, Path, PutPayload, PutOptions)> = due;
        for (_, name, payload, options) in due {
            let _ = self.inner.put_opts(&name, payload, options).await;
        }
        self.fault(number, call)
    }

    fn fault(&self, number: u64, call: Call) -> Option<Fault> {
        if self.state.lock().unwrap().calm { None } else { (self.plan)(number, call) }
    }

    fn pause(&self, most: u64) -> u64 {
        self.chaos.as_ref().map_or(0, |chaos| chaos.lock().unwrap().below(most))
    }

    async fn create(&self, name: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let there = || self.inner.head(name);
        match self.creates {
            Creates::Once => {}
            Creates::LooksFirst => {
                let taken = there().await.is_ok();
                yield_now().await;
                if taken {
                    return Err(taken_already(name));
                }
                options.mode = PutMode::Overwrite;
            }
            Creates::Overwrites => options.mode = PutMode::Overwrite,
            Creates::OnlyAtOnce => {
                let mut state = self.state.lock().unwrap();
                if state.races.len() == 8 {
                    options.mode = PutMode::Overwrite;
                }
                state.races.push(name.clone());
            }
            Creates::TellsAll => {
                let done = self.inner.put_opts(name, payload, options).await;
                return Ok(done.unwrap_or(PutResult {
                    e_tag: None,
                    version: None,
                    extensions: Default::default(),
                }));
            }
            Creates::KeepsTheLast => {
                let taken = there().await.is_ok();
                let done = self.inner.put(name, payload).await;
                return if taken { Err(taken_already(name)) } else { done };
            }
            Creates::Never => {
                let (operation, implementer) = ("create".to_owned(), "a service".to_owned());
                return Err(Error::NotImplemented { operation, implementer });
            }
            Creates::TellsNobody => {
                let _ = self.inner.put_opts(name, payload, options).await;
                return Err(taken_already(name));
            }
            Creates::Refuses => {
                let (path, source) = (name.to_string(), "you may not".into());
                return Err(Error::PermissionDenied { path, source });
            }
        }
        self.inner.put_opts(name, payload, options).await
    }
}

fn taken_already(name: &Path) -> Error {
    Error::AlreadyExists { path: name.to_string(), source: "it is there".into() }
}

fn broken() -> Error {
    Error::Generic { store: "a service", source: "the connection broke off".into() }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a service")
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a service")
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl ObjectStore for Service {
    fn put_opts<'s, 'n, 'a>(
        &'s self,
        name: &'n Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Boxed<'a, Result<PutResult>>
    where
        's: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let fault = self.begin(Call::Put).await;
            if self.chaos.is_some() {
                let (before, after, lost) = (self.pause(40), self.pause(6), self.pause(20) == 0);
                let (inner, at) = (self.inner.clone(), name.clone());
                let request = tokio::spawn(async move {
                    for _ in 0..before {
                        yield_now().await;
                    }
                    let done = inner.put_opts(&at, payload, options).await;
                    for _ in 0..after {
                        yield_now().await;
                    }
                    done
                });
                // Who is impatient takes a request for lost that is under way.
                if before > 34 {
                    return Err(broken());
                }
                let done = request.await.unwrap();
                return if lost { Err(broken()) } else { done };
            }
            match fault {
                None if options.mode == PutMode::Create => self.create(name, payload, options).await,
                None => self.inner.put_opts(name, payload, options).await,
                Some(Fault::Lost) => Err(broken()),
                Some(Fault::SaidTaken) => Err(taken_already(name)),
                Some(Fault::ReplyLost) => {
                    let _ = self.inner.put_opts(name, payload, options).await;
                    Err(broken())
                }
                Some(Fault::Late(later)) => {
                    let mut state = self.state.lock().unwrap();
                    let due = state.calls + later;
                    state.late.push((due, name.clone(), payload, options));
                    Err(broken())
                }
                Some(Fault::Silence { effect }) => {
                    if effect {
                        let _ = self.inner.put_opts(name, payload, options).await;
                    }
                    std::future::pending().await
                }
            }
        })
    }

    fn put_multipart_opts<'s, 'n, 'a>(
        &'s self,
        _: &'n Path,
        _: PutMultipartOptions,
    ) -> Boxed<'a, Result<Box<dyn MultipartUpload>>>
    where
        's: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async { panic!("no object is put in parts") })
    }

    fn get_opts<'s, 'n, 'a>(&'s self, name: &'n Path, options: GetOptions) -> Boxed<'a, Result<GetResult>>
    where
        's: 'a,
        'n: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let fault = self.begin(Call::Get).await;
            for _ in 0..self.pause(6) {
                yield_now().await;
            }
            let got = self.inner.get_opts(name, options).await;
            for _ in 0..self.pause(6) {
                yield_now().await;
            }
            match fault {
                None => got,
                Some(Fault::Silence { .. }) => std::future::pending().await,
                Some(_) => Err(broken()),
            }
        })
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.calls += 1;
            state.lists += 1;
            state.calls - 1
        };
        let fault = self.fault(number, Call::List);
        match fault {
            None => self.inner.list(prefix),
            Some(Fault::Silence { .. }) => stream::pending().boxed(),
            Some(_) => stream::once(async { Err(broken()) }).boxed(),
        }
    }

    fn list_with_delimiter<'s, 'p, 'a>(&'s self, _: Option<&'p Path>) -> Boxed<'a, Result<ListResult>>
    where
        's: 'a,
        'p: 'a,
        Self: 'a,
    {
        Box::pin(async { panic!("nothing is listed so") })
    }

    fn copy_opts<'s, 'f, 't, 'a>(&'s self, _: &'f Path, _: &'t Path, _: CopyOptions) -> Boxed<'a, Result<()>>
    where
        's: 'a,
        'f: 'a,
        't: 'a,
        Self: 'a,
    {
        Box::pin(async { panic!("nothing is copied") })
    }
}
