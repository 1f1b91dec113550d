//! Programs that keep credentials: `docker-credential-NAME get` reads a registry's name and writes what it has, as JSON.

use std::{process::Stdio, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use super::{Credentials, CredentialsError, Secret};

const ANSWER_BYTES: u64 = 64 << 10;
/// The user that stands for an identity token.
const IDENTITY: &str = "<token>";
/// What helpers say that know nothing of the registry: it is asked without credentials then.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

pub(super) async fn ask(name: &str, server: &str, time: Duration) -> Result<Option<Credentials>, CredentialsError> {
    let failed = |why: String| CredentialsError::Helper { name: name.to_owned(), why };
    // A name with a slash would be a path.
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c)) {
        return Err(failed("is no name of a program".to_owned()));
    }
    answer_of(Command::new(format!("docker-credential-{name}")), server, time).await.map_err(failed)
}

/// What the program has for a registry, or why that is not known.
async fn answer_of(program: Command, server: &str, time: Duration) -> Result<Option<Credentials>, String> {
    let answer = tokio::time::timeout(time, run(program, server)).await;
    let (is_success, said) = answer
        .map_err(|_| format!("has not answered within {time:?}"))?
        .map_err(|error| format!("cannot be run: {error}"))?;
    if !is_success {
        let said = String::from_utf8_lossy(&said);
        let shown: String = said.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        return if shown.contains(NOT_FOUND) { Ok(None) } else { Err(format!("failed: {shown}")) };
    }
    let answer: Answer = serde_json::from_slice(&said).map_err(|_| "wrote no user and secret".to_owned())?;
    Ok(Some(match answer.username.as_str() {
        IDENTITY => Credentials::Identity(answer.secret),
        _ => Credentials::Password { user: answer.username, password: answer.secret },
    }))
}

/// Whether it succeeded, and what it wrote. Dropped, it is killed.
async fn run(mut program: Command, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
    program.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut helper = program.spawn()?;
    if let Some(mut stdin) = helper.stdin.take() {
        // One that ends without reading has said why.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(stdout) = helper.stdout.take() {
        stdout.take(ANSWER_BYTES).read_to_end(&mut said).await?;
    }
    Ok((helper.wait().await?.success(), said))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask_script(script: &str, time: Duration) -> Result<Option<Credentials>, String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        answer_of(shell, "registry.example:5000", time).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_helper_is_told_the_registry_and_answers_with_a_user_or_a_token() {
        let user = "read server; echo \"{\\\"ServerURL\\\":\\\"x\\\",\\\"Username\\\":\\\"me\\\",\\\"Secret\\\":\\\"for $server\\\"}\"";
        let password = Secret::new("for registry.example:5000".to_owned());
        assert_eq!(ask_script(user, LONG).await, Ok(Some(Credentials::Password { user: "me".to_owned(), password })));
        let token = "echo '{\"Username\":\"<token>\",\"Secret\":\"t\"}'";
        let identity = Credentials::Identity(Secret::new("t".to_owned()));
        assert_eq!(ask_script(token, LONG).await, Ok(Some(identity)));
        let unknown = "echo credentials not found in native keychain; exit 1";
        assert_eq!(ask_script(unknown, LONG).await, Ok(None));
    }

    #[tokio::test]
    async fn a_helper_that_fails_hangs_or_floods_is_an_error_that_says_so() {
        for (script, why) in [
            ("echo no session; exit 3", "failed: no session"),
            ("echo nonsense", "no user and secret"),
            ("yes", "failed: yyyy"),
        ] {
            let error = ask_script(script, LONG).await.unwrap_err();
            assert!(error.contains(why), "{script}: {error}");
        }
        let hangs = ask_script("exec sleep 1000", Duration::from_millis(50)).await;
        assert!(hangs.is_err_and(|why| why.contains("has not answered")));
        let path = ask("../evil", "x", LONG).await.unwrap_err();
        assert!(path.to_string().contains("no name of a program"));
        let missing = ask("there-is-none", "x", LONG).await.unwrap_err();
        assert!(missing.to_string().contains("cannot be run"), "{missing}");
    }
}
