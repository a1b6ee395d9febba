//! Buckets of S3, and of services that speak like it.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, RetryConfig};

/// How often a request that got no answer is sent again, and for how long.
const RETRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);

/// The bucket of this name, with credentials, region and endpoint as the environment says (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, ...: those of [`AmazonS3Builder::from_env`]). Nothing is asked of
/// the service yet.
///
/// # Errors
/// Those of [`AmazonS3Builder::build`], where the environment says something that can not be.
pub fn bucket(name: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    client(AmazonS3Builder::from_env().with_bucket_name(name))
}

/// The bucket that a builder names.
///
/// Requests that get no answer are sent again for half a minute at most. Where no provider of cryptography was chosen for this process
/// (`rustls::crypto::CryptoProvider`), it is `ring` from now on.
///
/// # Errors
/// Those of [`AmazonS3Builder::build`].
pub fn client(builder: AmazonS3Builder) -> object_store::Result<Arc<dyn ObjectStore>> {
    // Somebody may have chosen another one meanwhile: it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() };
    Ok(Arc::new(builder.with_retry(retry).build()?))
}
