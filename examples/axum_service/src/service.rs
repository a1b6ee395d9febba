//! What the service answers, and with which status.

use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use countersign::core::digest::StatementDigest;
use countersign::core::entry::MAX_ENTRY_LEN;
use countersign::core::id::{ParseNameError, Principal, Resource, Role};
use countersign::core::statement::SignedStatement;
use countersign::ledger::{Check, Ledger, Receipt, Replica, SubmitError};
use countersign::projection::governance::Answer;
use countersign::store::{AnyStore, Durability};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long a check waits for the entry that it asks to be answered after.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a submission waits for its receipt. The ledger goes on for as long as its store is away, and a client should not have to.
const SUBMISSION: Duration = Duration::from_secs(5);

/// What every request is answered from.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) replica: Replica<AnyStore>,
    /// None where this service only follows.
    pub(crate) ledger: Option<Ledger<AnyStore>>,
    pub(crate) durability: Durability,
    /// How old a view may be that a check is answered from. Who is cut off from the store longer says so, and nothing else: it could not
    /// know of a revocation.
    pub(crate) max_age: Duration,
}

pub(crate) fn router(service: Service) -> Router {
    let mut router = Router::new()
        .route("/access/v1/evaluation", post(evaluate))
        .route("/check", post(evaluate))
        .route("/healthz", get(health));
    if let Some(ledger) = &service.ledger {
        router = router.route("/statements", post(submit).with_state(ledger.clone()));
    }
    router
        // A submission is shorter than the entry that it becomes; `countersign sign` ends it with a line feed.
        .layer(DefaultBodyLimit::max(MAX_ENTRY_LEN + 1))
        .layer(from_fn(echo_request_id))
        .with_state(service)
}

/// A question in the shape of the AuthZEN Authorization API 1.0: may the subject act in the role that `action` names? What a grant does not
/// depend on, such as `properties` and `context`, is not looked at.
#[derive(Deserialize)]
struct Evaluation {
    subject: Entity,
    action: Action,
    resource: Entity,
}

/// `{"type":"user","id":"alice"}` is `user:alice`.
#[derive(Deserialize)]
struct Entity {
    r#type: String,
    id: String,
}

#[derive(Deserialize)]
struct Action {
    name: String,
}

impl Entity {
    fn name<T: FromStr<Err = ParseNameError>>(&self) -> Result<T, Problem> {
        format!("{}:{}", self.r#type, self.id).parse().map_err(Problem::request)
    }
}

/// How new the state has to be.
#[derive(Deserialize)]
struct Newness {
    /// The `seq` of a receipt: whoever holds it is answered from a state with its entry, whichever follower he asks.
    min_seq: Option<u64>,
}

async fn evaluate(
    State(service): State<Service>,
    Query(Newness { min_seq }): Query<Newness>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let Evaluation { subject, action, resource } = serde_json::from_slice(&body).map_err(Problem::request)?;
    let subject: Principal = subject.name()?;
    let resource: Resource = resource.name()?;
    let role: Role = action.name.parse().map_err(Problem::request)?;
    let mut question = Check::new(&subject, &resource, &role).max_age(service.max_age);
    if let Some(seq) = min_seq {
        // Whatever came of it, the check says.
        let _ = timeout(PATIENCE, service.replica.at_least(seq.saturating_add(1))).await;
        question = question.min_seq(seq);
    }
    let checked = service.replica.check(&question).map_err(|stale| Problem::later("stale", stale))?;
    let mut context = json!({ "at": checked.at, "size": checked.head.size });
    match checked.answer {
        Answer::Allowed { grant, seq, until } => {
            context["grant"] = json!(grant);
            context["seq"] = json!(seq);
            context["until"] = json!(until);
        }
        Answer::Denied { reason } => context["reason"] = json!(reason.as_str()),
    }
    Ok(Json(json!({ "decision": checked.is_allowed(), "context": context })))
}

/// Records one signed statement. Who hangs up while it is under way submits the same again: it is recorded once.
async fn submit(
    State(ledger): State<Ledger<AnyStore>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let signed =
        SignedStatement::parse(body.strip_suffix(b"\n").unwrap_or(&body)).map_err(Problem::malformed)?;
    let digest = signed.digest();
    let Receipt { seq, leaf, statement, recorded_at, durability } =
        timeout(SUBMISSION, ledger.submit(signed))
            .await
            .unwrap_or(Err(SubmitError::OutcomeUnknown { digest }))
            .map_err(|error| Problem::not_recorded(digest, error))?;
    let receipt = json!({
        "recorded": true,
        "seq": seq,
        "recorded_at": recorded_at,
        "statement": statement,
        "leaf": leaf,
        "durability": durability.as_str(),
    });
    Ok((StatusCode::CREATED, Json(receipt)))
}

/// Whether this process should be left to run: what says no is of no use before it is started anew.
async fn health(State(service): State<Service>) -> (StatusCode, Json<Value>) {
    let head = service.replica.head();
    let failure = match &service.ledger {
        Some(ledger) if ledger.must_reopen() => Some("a write failed".to_owned()),
        Some(_) | None => service.replica.failure().map(ToString::to_string),
    };
    let status = if failure.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let health = json!({
        "ledger": service.replica.ledger_id().map(|id| id.to_string()),
        "size": head.size,
        "leaf": head.leaf,
        "durability": service.durability.as_str(),
        "records": service.ledger.is_some(),
        "failure": failure,
    });
    (status, Json(health))
}

/// As AuthZEN asks for: who sends an id of a request finds it in the answer.
async fn echo_request_id(request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id").cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Why there is no answer, as status and JSON.
struct Problem(StatusCode, Value);

impl Problem {
    fn request(detail: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, json!({ "code": "request", "detail": detail.to_string() }))
    }

    fn malformed(fault: countersign::core::fault::Fault) -> Self {
        let told = json!({
            "recorded": false,
            "code": fault.code.as_str(),
            "offset": fault.offset,
            "detail": fault.detail,
        });
        Self(StatusCode::BAD_REQUEST, told)
    }

    fn not_recorded(digest: StatementDigest, error: SubmitError) -> Self {
        match error {
            SubmitError::Refused(refusal) | SubmitError::SerialReused(refusal) => {
                let (code, detail) = (refusal.code, refusal.detail);
                let refused = json!({
                    "recorded": false,
                    "statement": digest,
                    "code": code.as_str(),
                    "detail": detail,
                    "meaning": code.meaning().trim(),
                    "requirements": code.requirements(),
                });
                Self(StatusCode::UNPROCESSABLE_ENTITY, refused)
            }
            SubmitError::Malformed(fault) => Self::malformed(fault),
            SubmitError::OutcomeUnknown { .. } => {
                Self::later("outcome_unknown", format_args!("{error}: submit the same again"))
            }
            SubmitError::Busy => Self::later("busy", error),
            error => {
                // What is wrong with the store is for whoever runs the service, not for whoever asks it.
                crate::log(&error);
                Self::later("not_recorded", error)
            }
        }
    }

    fn later(code: &str, detail: impl ToString) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, json!({ "code": code, "detail": detail.to_string() }))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, told) = self;
        let mut response = (status, Json(told)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_or_not_now_is_to_be_submitted_again() {
        let digest = StatementDigest::new([7; 32]);
        for (error, code) in [
            (SubmitError::OutcomeUnknown { digest }, "outcome_unknown"),
            (SubmitError::Busy, "busy"),
            (SubmitError::Closed, "not_recorded"),
            (SubmitError::MustReopen, "not_recorded"),
        ] {
            let problem = Problem::not_recorded(digest, error);
            assert_eq!(problem.1["code"], code);
            assert_eq!(code == "outcome_unknown", problem.1["detail"].to_string().contains("the same again"));
            let response = problem.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "case: {code}");
            assert!(response.headers().contains_key(header::RETRY_AFTER), "case: {code}");
        }
    }
}
