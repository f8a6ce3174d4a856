//! Which variables of the requesting shell travel with a run, and how. One table, [`RULES`]; the first match decides.
//!
//! What no rule names stays behind: a run must behave the same from every shell of its user, and what does not travel
//! cannot leak.

/// How a variable travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnvClass {
    /// With the request and into the journal, as it is.
    Plain,
    /// In memory and by pipe only; its value is replaced wherever it shows up.
    Secret,
    /// Not at all.
    Drop,
}

/// One row of the table. `*` stands for any text, at the beginning, the end, or both ends of a pattern.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Names it is for, in upper case; names are compared without regard to case (`http_proxy`).
    pub patterns: &'static [&'static str],
    /// What happens to them.
    pub class: EnvClass,
    /// Whether they give access to a model. Gates run without these.
    pub provider_key: bool,
}

const fn plain(patterns: &'static [&'static str]) -> Rule {
    Rule { patterns, class: EnvClass::Plain, provider_key: false }
}
const fn secret(patterns: &'static [&'static str]) -> Rule {
    Rule { patterns, class: EnvClass::Secret, provider_key: false }
}
const fn provider(patterns: &'static [&'static str]) -> Rule {
    Rule { patterns, class: EnvClass::Secret, provider_key: true }
}
const fn drop(patterns: &'static [&'static str]) -> Rule {
    Rule { patterns, class: EnvClass::Drop, provider_key: false }
}

/// The table.
pub const RULES: &[Rule] = &[
    // What belongs to an attempt is set anew for each; it is never inherited from a worker that starts a run.
    drop(&["WINDLASS_RUN", "WINDLASS_TASK", "WINDLASS_STEP", "WINDLASS_ATTEMPT", "WINDLASS_ARTIFACTS"]),
    drop(&["WINDLASS_*TOKEN*", "WINDLASS_MARKER*", "WINDLASS_DEPTH"]),
    // Code that would be loaded into every process of a run: only from the agent's own configuration.
    drop(&["LD_PRELOAD", "LD_AUDIT", "DYLD_*", "BASH_ENV", "ENV", "BASH_FUNC_*", "PROMPT_COMMAND", "PS4"]),
    // Names that only look like keys.
    plain(&[
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_PROFILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    ]),
    plain(&[
        "AWS_SDK_LOAD_CONFIG",
        "AWS_CA_BUNDLE",
        "AWS_EC2_METADATA_*",
        "AWS_RETRY_MODE",
        "AWS_MAX_ATTEMPTS",
    ]),
    plain(&[
        "AWS_DEFAULT_OUTPUT",
        "AWS_PAGER",
        "AWS_DEFAULTS_MODE",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_*",
    ]),
    plain(&["AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ENDPOINT_URL*"]),
    plain(&["AWS_EXECUTION_ENV", "AWS_CLI_*", "AWS_VAULT", "AWS_SDK_UA_APP_ID"]),
    plain(&["*MAX_TOKENS", "*MAX_OUTPUT_TOKENS", "*MAX_THINKING_TOKENS", "*_TOKEN_COUNT", "*_TOKEN_LIMIT"]),
    plain(&[
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GCLOUD_PROJECT",
    ]),
    plain(&["CLOUD_ML_REGION", "VERTEX_PROJECT", "VERTEX_LOCATION", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION"]),
    plain(&[
        "AZURE_OPENAI_RESOURCE_NAME",
        "AZURE_OPENAI_API_VERSION",
        "AZURE_OPENAI_DEPLOYMENT*",
        "AZURE_RESOURCE_NAME",
    ]),
    plain(&["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_GATEWAY_ID", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"]),
    plain(&["OPENAI_ORGANIZATION", "OPENAI_PROJECT", "GPG_KEY_ID"]),
    // Keys of model providers.
    provider(&[
        "*API_KEY",
        "*APIKEY",
        "*API_KEYS",
        "*_API_KEY_*",
        "*API_TOKEN",
        "*OAUTH_TOKEN",
        "*AUTH_TOKEN",
    ]),
    provider(&["AWS_*", "*_CUSTOM_HEADERS"]),
    provider(&["ANTHROPIC_*TOKEN", "OPENAI_*TOKEN", "CLAUDE_*TOKEN", "CODEX_*TOKEN", "GEMINI_*TOKEN"]),
    provider(&["COPILOT_*TOKEN", "GITHUB_COPILOT_*", "COPILOT_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"]),
    provider(&["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]),
    provider(&["HUGGINGFACE_*TOKEN", "HUGGINGFACEHUB_*", "REPLICATE_*TOKEN", "OPENCODE_*PASSWORD"]),
    provider(&[
        "AZURE_*SECRET",
        "AZURE_*KEY",
        "AZURE_*TOKEN",
        "AZURE_*PASSWORD",
        "GOOGLE_*TOKEN",
        "GOOGLE_*SECRET",
    ]),
    provider(&["GOOGLE_*KEY", "GOOGLE_*CREDENTIALS*", "VERTEX_*TOKEN", "WATSONX_*KEY", "AI_GATEWAY_*"]),
    // Everything else that is secret by its name.
    secret(&["*_TOKEN", "TOKEN", "*_TOKEN_*", "*ACCESSTOKEN", "*SECRET", "*SECRETS", "*SECRET_*"]),
    secret(&[
        "*PASSWORD",
        "*PASSWORD_*",
        "*PASSWD",
        "*PASSPHRASE",
        "*_PASS",
        "*_PWD",
        "*CREDENTIAL",
        "*CREDENTIALS",
    ]),
    secret(&[
        "*PRIVATE_KEY",
        "*PRIVATE_KEY_*",
        "*ACCESS_KEY",
        "*ACCESS_KEY_*",
        "*SIGNING_KEY",
        "*ENCRYPTION_KEY",
    ]),
    secret(&["*_DSN", "*AUTHORIZATION", "*SESSION_KEY", "*_COOKIE"]),
    // The allow-list: who and where.
    plain(&["PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "TMPDIR", "TMP", "TEMP", "HOSTNAME"]),
    plain(&[
        "LANG",
        "LANGUAGE",
        "LC_*",
        "TZ",
        "TERM",
        "TERM_PROGRAM",
        "COLORTERM",
        "TERMINFO",
        "TERMINFO_DIRS",
    ]),
    plain(&["NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "CI"]),
    plain(&["XDG_*", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"]),
    plain(&[
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GNUPGHOME",
        "GPG_TTY",
        "WSL_DISTRO_NAME",
        "WSL_INTEROP",
        "WSLENV",
    ]),
    // Network.
    plain(&["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY", "*_BASE_URL", "*_API_BASE"]),
    plain(&["SSL_CERT_*", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"]),
    plain(&[
        "NODE_USE_ENV_PROXY",
        "NODE_USE_SYSTEM_CA",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "*_ENDPOINT",
        "OLLAMA_HOST",
    ]),
    // Tool chains.
    plain(&["CARGO_*", "CARGO", "RUSTUP_*", "RUST_*", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC*", "SCCACHE_*"]),
    plain(&[
        "GO*",
        "CGO_*",
        "NVM_*",
        "FNM_*",
        "VOLTA_*",
        "NODE_*",
        "NPM_CONFIG_*",
        "PNPM_*",
        "YARN_*",
        "COREPACK_*",
    ]),
    plain(&[
        "BUN_*",
        "DENO_*",
        "PYENV*",
        "VIRTUAL_ENV*",
        "CONDA_*",
        "UV_*",
        "PIP_*",
        "PIPX_*",
        "POETRY_*",
        "PYTHON*",
    ]),
    plain(&[
        "RBENV_*", "RUBY*", "GEM_*", "BUNDLE_*", "JAVA_*", "JDK_*", "MAVEN_*", "M2_HOME", "GRADLE_*",
        "SDKMAN_*",
    ]),
    plain(&[
        "ANDROID_*",
        "DOTNET_*",
        "NUGET_*",
        "MISE_*",
        "ASDF_*",
        "NIX_*",
        "IN_NIX_SHELL",
        "HOMEBREW_*",
        "DIRENV_*",
    ]),
    plain(&[
        "CC",
        "CXX",
        "AR",
        "LD",
        "CPP",
        "CFLAGS",
        "CXXFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "MAKEFLAGS",
        "MAKE",
        "CMAKE_*",
    ]),
    plain(&[
        "PKG_CONFIG*",
        "LD_LIBRARY_PATH",
        "LIBRARY_PATH",
        "CPATH",
        "C_INCLUDE_PATH",
        "CPLUS_INCLUDE_PATH",
    ]),
    plain(&[
        "MANPATH",
        "INFOPATH",
        "ACLOCAL_PATH",
        "OPENSSL_*",
        "CUDA_*",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "KUBECONFIG",
    ]),
    plain(&["TEST_DATABASE_URL", "DATABASE_URL", "LOCALE_ARCHIVE", "PLAYWRIGHT_*", "CHROME_BIN"]),
    plain(&[
        "GIT_AUTHOR_*",
        "GIT_COMMITTER_*",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_SYSTEM",
    ]),
    plain(&["GIT_SSH", "GIT_SSH_COMMAND", "GIT_TERMINAL_PROMPT"]),
    // Agents and Windlass itself.
    plain(&[
        "PI_*",
        "CLAUDE_CONFIG_DIR",
        "CLAUDE_CODE_*",
        "ANTHROPIC_*",
        "CODEX_*",
        "OPENCODE_*",
        "GEMINI_*",
    ]),
    plain(&["DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DISABLE_AUTOUPDATER", "DO_NOT_TRACK"]),
    plain(&["WINDLASS_*_BIN", "WINDLASS_HOME", "WINDLASS_LOG"]),
];

/// How a variable travels, by its name alone. Use [`classify_pair`] where the value is at hand.
pub fn classify(name: &str) -> EnvClass {
    rule(name).map_or(EnvClass::Drop, |rule| rule.class)
}

/// How a variable travels. A value that is a URL with a password, or a list of such, is secret whatever its name.
pub fn classify_pair(name: &str, value: &[u8]) -> EnvClass {
    match classify(name) {
        EnvClass::Plain if has_url_credentials(value) => EnvClass::Secret,
        class => class,
    }
}

/// Whether the variable gives access to a model. Gates get the run's environment without these.
pub fn is_provider_key(name: &str) -> bool {
    rule(name).is_some_and(|rule| rule.provider_key)
}

/// Parts of a secret value that are secret by themselves: the user information and the password of a URL, which
/// programs also print without the rest. The value itself comes first.
pub fn secret_parts(value: &[u8]) -> Vec<&[u8]> {
    let mut out = vec![value];
    for user_info in url_user_infos(value) {
        if let Some(colon) = memchr::memchr(b':', user_info) {
            out.push(user_info);
            out.push(&user_info[colon + 1..]);
        } else {
            out.push(user_info);
        }
    }
    out
}

fn rule(name: &str) -> Option<&'static Rule> {
    // The limit bounds the matching of hostile names; no real one comes near.
    if name.is_empty() || name.len() > 256 || name.contains('=') || name.contains('\0') {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    RULES.iter().find(|rule| rule.patterns.iter().any(|pattern| matches(pattern, &upper)))
}

/// Matches `*` anywhere in the pattern; patterns and names are short.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            rest.is_empty()
                || tail.char_indices().any(|(i, _)| matches(rest, &tail[i..]))
                || matches(rest, "")
        }),
    }
}

fn has_url_credentials(value: &[u8]) -> bool {
    !url_user_infos(value).is_empty()
}

/// What stands between `://` and the last `@` of each authority in the value.
fn url_user_infos(value: &[u8]) -> Vec<&[u8]> {
    memchr::memmem::find_iter(value, b"://")
        .filter_map(|at| {
            let rest = &value[at + 3..];
            let end = rest
                .iter()
                .position(|b| matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'') || b.is_ascii_whitespace())
                .unwrap_or(rest.len());
            let authority = &rest[..end];
            memchr::memrchr(b'@', authority).map(|at| &authority[..at]).filter(|user| !user.is_empty())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table() {
        for (class, names) in [
            (
                EnvClass::Plain,
                "PATH HOME LANG LC_ALL TERM SHELL USER TMPDIR XDG_STATE_HOME CARGO_HOME RUSTUP_TOOLCHAIN GOPATH GOFLAGS NVM_DIR \
                 PYENV_ROOT PYTHONPATH ANTHROPIC_BASE_URL OPENAI_BASE_URL GOOGLE_GEMINI_BASE_URL PI_CODING_AGENT_DIR \
                 WINDLASS_PI_BIN WINDLASS_HOME HTTP_PROXY https_proxy no_proxy SSL_CERT_FILE NODE_EXTRA_CA_CERTS \
                 AWS_REGION AWS_PROFILE AWS_RETRY_MODE CLAUDE_CODE_MAX_OUTPUT_TOKENS ANTHROPIC_MODEL CODEX_HOME NO_COLOR",
            ),
            (
                EnvClass::Secret,
                "ANTHROPIC_API_KEY OPENAI_API_KEY GEMINI_API_KEY ANTHROPIC_AUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN GITHUB_TOKEN \
                 GH_TOKEN AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_BEARER_TOKEN_BEDROCK HF_TOKEN \
                 CARGO_REGISTRY_TOKEN CARGO_REGISTRIES_INTERNAL_TOKEN NPM_TOKEN NODE_AUTH_TOKEN DB_PASSWORD MY_SECRET \
                 CLIENT_SECRET STRIPE_SECRET_KEY SSH_PRIVATE_KEY SENTRY_DSN PI_API_KEY CARGO_REGISTRIES_X_TOKEN_FILE \
                 anthropic_api_key ANTHROPIC_CUSTOM_HEADERS",
            ),
            (
                EnvClass::Drop,
                "EDITOR PROMPT OLDPWD WINDLASS_RUN WINDLASS_TASK WINDLASS_ATTEMPT WINDLASS_CAPABILITY_TOKEN LD_PRELOAD \
                 BASH_ENV RANDOM_THING SSH_CONNECTION GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE WINDLASS_X \u{e9}",
            ),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(classify(name), class, "{name}");
            }
        }
        for bad in ["", "A=B", "PATH\0"] {
            assert_eq!(classify(bad), EnvClass::Drop);
        }
    }

    #[test]
    fn gates_lose_provider_keys_and_keep_the_rest() {
        for name in [
            "ANTHROPIC_API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "openai_api_key",
        ] {
            assert!(is_provider_key(name), "{name}");
        }
        for name in ["PATH", "AWS_REGION", "DB_PASSWORD", "CARGO_REGISTRY_TOKEN", "NPM_TOKEN", "EDITOR"] {
            assert!(!is_provider_key(name), "{name}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_secret_by_its_value() {
        let proxy = b"http://me:p%40ss@proxy.example:3128";
        assert_eq!(classify_pair("HTTPS_PROXY", proxy), EnvClass::Secret);
        assert_eq!(classify_pair("HTTPS_PROXY", b"http://proxy.example:3128"), EnvClass::Plain);
        assert_eq!(classify_pair("HTTPS_PROXY", b"http://proxy.example/a@b"), EnvClass::Plain);
        assert_eq!(classify_pair("DATABASE_URL", b"postgres://u:longpass@h/db"), EnvClass::Secret);
        assert_eq!(classify_pair("RANDOM", proxy), EnvClass::Drop);
        assert_eq!(secret_parts(proxy), [&proxy[..], b"me:p%40ss", b"p%40ss"]);
        assert_eq!(secret_parts(b"plainkey"), [b"plainkey"]);
    }

    proptest! {
        #[test]
        fn total_and_blind_to_case(name in "[A-Za-z_*=0-9\u{e9}]{0,40}", value in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(classify(&name), classify(&name.to_ascii_lowercase()));
            let _ = (classify_pair(&name, &value), secret_parts(&value));
            if is_provider_key(&name) {
                prop_assert_eq!(classify(&name), EnvClass::Secret);
            }
        }
    }
}
