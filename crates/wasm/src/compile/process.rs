//! A compilation in a process of its own: the same program, started again.
//!
//! A compiler's time and memory can grow with the cube of a function's size, and a few kilobytes of a stranger's making
//! are enough to take all of both. In a process, the kernel holds both in bounds, and a compiler that overflows its stack
//! ends nothing but itself.
//!
//! The node writes the length of the component (8 bytes, little-endian) and the component to the process's standard
//! input and keeps that open: its end is the end of the node. The process answers on its standard output with a
//! [`Verdict`], the fingerprint of its engine if it compiled, and code or a sentence.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Artefact, guarded, threads};
use crate::engine;
use crate::engines::{Base, Model};
use crate::inspect::COMPONENT_BYTES;
use crate::program::Refusal;

/// The argument that makes a program a compiler. After it come seconds of processor time, bytes of memory, and
/// [`CONCURRENT`] if that is the model.
const MARKER: &str = "--hearth-wasm-compile";

/// The argument that asks for [`Model::Concurrent`].
const CONCURRENT: &str = "concurrent";

/// Processor time of one compilation, seconds. A JavaScript engine of 12 MB takes 27 of a compiler that was built with
/// little optimisation.
const CPU_SECONDS: u64 = 180;

/// Memory of one compilation, bytes. A JavaScript engine of 12 MB takes 360 MB.
const MEMORY_BYTES: u64 = 2 << 30;

/// Compiled code of one component, bytes: it is in the node's memory once.
const ARTEFACT_BYTES: u64 = 1 << 30;

/// Of what a compiler that fails writes to its standard error, bytes.
const COMPLAINT_BYTES: u64 = 4096;

/// Of an engine ([`crate::cache::fingerprint`]).
const FINGERPRINT_BYTES: usize = 32;

/// Whether this program can be started again to compile.
static POSSIBLE: AtomicBool = AtomicBool::new(false);

/// The first byte of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Fingerprint and code follow.
    Compiled = 0,
    /// A sentence for the component's author follows.
    Invalid = 1,
    /// A sentence for the operator follows.
    Internal = 2,
}

/// Must be called early in the `main` of a program, before threads are started, for its walls to compile in processes:
/// in such a process this call never returns. A program that never calls it compiles in its own process, without a bound
/// on time and memory.
pub fn run_compiler_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(MARKER) {
        POSSIBLE.store(true, Ordering::Relaxed);
        return;
    }
    let mut number = || arguments.next().and_then(|number| number.parse().ok());
    let (seconds, bytes) = (number(), number());
    let model = match arguments.next().as_deref() {
        Some(CONCURRENT) => Model::Concurrent,
        _ => Model::Sequential,
    };
    let code = match run(
        seconds.unwrap_or(CPU_SECONDS),
        bytes.unwrap_or(MEMORY_BYTES),
        model,
    ) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    std::process::exit(code)
}

/// Whether [`compile`] can be called.
pub(super) fn is_possible() -> bool {
    POSSIBLE.load(Ordering::Relaxed)
}

// The process's part.

fn run(seconds: u64, bytes: u64, model: Model) -> io::Result<()> {
    bound(seconds, bytes)?;
    let mut input = io::stdin().lock();
    let mut length = [0; 8];
    input.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length).min(COMPONENT_BYTES);
    let mut component = Vec::new();
    if input.take(length).read_to_end(&mut component)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    thread::Builder::new().spawn(|| {
        // Nothing more comes while the node is there.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(1)
    })?;
    let (verdict, body) = answer(model, &component);
    let mut output = io::stdout().lock();
    output.write_all(&[verdict as u8])?;
    for part in body {
        output.write_all(&part)?;
    }
    output.flush()
}

/// Takes what a compilation may have, and no more.
fn bound(seconds: u64, bytes: u64) -> io::Result<()> {
    let limit = |most| Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    rustix::process::setrlimit(
        Resource::Cpu,
        Rlimit {
            current: Some(seconds),
            // After the signal that says why; nothing takes it, so that it ends the process.
            maximum: Some(seconds + 1),
        },
    )?;
    // What can be written to: reservations of allocators, of which each thread has one, do not count.
    rustix::process::setrlimit(Resource::Data, limit(bytes))?;
    // A core dump would hold a stranger's component.
    rustix::process::setrlimit(Resource::Core, limit(0))?;
    // On a host that has no memory left, this process rather than the node. Not offered everywhere: worth no error.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

fn answer(model: Model, component: &[u8]) -> (Verdict, Vec<Vec<u8>>) {
    let compiled = engine::engine(model, 1)
        .map_err(|error| Refusal::Internal(format!("set the compiler up: {error:#}")))
        .and_then(|engine| {
            let threads = threads()
                .map_err(|error| Refusal::Internal(format!("start the compiler: {error}")))?;
            let compile = || threads.install(|| engine.precompile_component(component));
            Ok((crate::cache::fingerprint(&engine), guarded(compile)?))
        });
    match compiled {
        Ok((fingerprint, Artefact(code))) => (Verdict::Compiled, vec![fingerprint.into(), code]),
        Err(Refusal::Invalid(sentence)) => (Verdict::Invalid, vec![sentence.into_bytes()]),
        Err(Refusal::Internal(sentence)) => (Verdict::Internal, vec![sentence.into_bytes()]),
    }
}

// The node's part.

/// Compiles a component for the engine of a model. Whoever drops the future ends the process.
///
/// # Errors
/// What the compiler says of the component; which of its bounds it met.
pub(super) async fn compile(
    component: &[u8],
    model: Model,
    base: &Base,
) -> Result<Artefact, Refusal> {
    let failed = |error: io::Error| Refusal::Internal(format!("start a compiler: {error}"));
    // The program that runs now, though another may have its name by now.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(MARKER)
        .arg(CPU_SECONDS.to_string())
        .arg(MEMORY_BYTES.to_string());
    if model == Model::Concurrent {
        command.arg(CONCURRENT);
    }
    let mut child = command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (answer, complaint) = converse(&mut child, component).await.map_err(failed)?;
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(ended(status, &complaint));
    }
    read(answer, &base.fingerprint)
}

/// Writes the component; answers what came back on the two outputs, when both were closed.
async fn converse(child: &mut Child, component: &[u8]) -> io::Result<(Vec<u8>, String)> {
    let missing = || io::Error::other("it has no pipes");
    let mut input = child.stdin.take().ok_or_else(missing)?;
    let output = child.stdout.take().ok_or_else(missing)?;
    let errors = child.stderr.take().ok_or_else(missing)?;
    let give = async {
        // A process that ended before it read all says why by its end.
        let _ = input
            .write_all(&(component.len() as u64).to_le_bytes())
            .await;
        let _ = input.write_all(component).await;
    };
    let answer = async {
        let mut answer = Vec::new();
        output.take(ARTEFACT_BYTES).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let complaint = async {
        let mut complaint = Vec::new();
        let mut errors = errors.take(COMPLAINT_BYTES);
        errors.read_to_end(&mut complaint).await?;
        tokio::io::copy(&mut errors.into_inner(), &mut tokio::io::sink()).await?;
        io::Result::Ok(String::from_utf8_lossy(&complaint).trim().to_owned())
    };
    let ((), answer, complaint) = tokio::join!(give, answer, complaint);
    drop(input);
    Ok((answer?, complaint?))
}

fn read(mut answer: Vec<u8>, fingerprint: &[u8; FINGERPRINT_BYTES]) -> Result<Artefact, Refusal> {
    let sentence = |answer: &[u8]| String::from_utf8_lossy(&answer[1..]).into_owned();
    match answer.first() {
        Some(&verdict) if verdict == Verdict::Compiled as u8 => {
            let begin = 1 + FINGERPRINT_BYTES;
            if answer.len() <= begin || answer[1..begin] != fingerprint[..] {
                return Err(Refusal::Internal(
                    "the compiler's engine is not the node's".to_owned(),
                ));
            }
            answer.drain(..begin);
            Ok(Artefact(answer))
        }
        Some(&verdict) if verdict == Verdict::Invalid as u8 => {
            Err(Refusal::Invalid(sentence(&answer)))
        }
        Some(&verdict) if verdict == Verdict::Internal as u8 => {
            Err(Refusal::Internal(sentence(&answer)))
        }
        _ => Err(Refusal::Internal("the compiler did not answer".to_owned())),
    }
}

/// Why a compiler did not answer.
fn ended(status: ExitStatus, complaint: &str) -> Refusal {
    let signal = status.signal();
    if signal == Some(Signal::XCPU.as_raw()) {
        return Refusal::Invalid(format!(
            "The component can't be compiled in {CPU_SECONDS} s of processor time: make it smaller, or divide its \
             largest functions."
        ));
    }
    // What Rust says before it ends a process for want of memory.
    if complaint.contains("memory allocation of") {
        return Refusal::Invalid(format!(
            "The component can't be compiled in {} MiB of memory: make it smaller, or divide its largest functions.",
            MEMORY_BYTES >> 20
        ));
    }
    Refusal::Internal(format!("a compiler ended early ({status}): {complaint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_of_a_compiler_has_its_sentence() {
        let says = |status, complaint| match ended(ExitStatus::from_raw(status), complaint) {
            Refusal::Invalid(said) => format!("invalid: {said}"),
            Refusal::Internal(said) => format!("internal: {said}"),
        };
        // As waitpid gives them: a signal's number; an exit code in the second byte.
        let said = says(Signal::XCPU.as_raw(), "");
        assert!(
            said.starts_with("invalid: ") && said.contains("s of processor time"),
            "{said}"
        );
        let said = says(
            Signal::ABORT.as_raw(),
            "memory allocation of 4096 bytes failed",
        );
        assert!(
            said.starts_with("invalid: ") && said.contains("MiB of memory"),
            "{said}"
        );
        let said = says(Signal::SEGV.as_raw(), "");
        assert!(
            said.starts_with("internal: ") && said.contains("signal: 11"),
            "{said}"
        );
        let said = says(1 << 8, "no such limit");
        assert!(
            said.starts_with("internal: ") && said.contains("no such limit"),
            "{said}"
        );
    }

    #[test]
    fn an_answer_is_taken_for_the_same_engine_alone() {
        let fingerprint = [3; FINGERPRINT_BYTES];
        let compiled = |by: u8| [&[0], &[by; FINGERPRINT_BYTES][..], b"code"].concat();
        let artefact = read(compiled(3), &fingerprint);
        assert_eq!(artefact.map(|artefact| artefact.0), Ok(b"code".to_vec()));
        for (answer, expected) in [
            (
                compiled(4),
                Refusal::Internal("the compiler's engine is not the node's".to_owned()),
            ),
            (
                compiled(3)[..20].to_vec(),
                Refusal::Internal("the compiler's engine is not the node's".to_owned()),
            ),
            (
                b"\x01So it is.".to_vec(),
                Refusal::Invalid("So it is.".to_owned()),
            ),
            (
                b"\x02it broke".to_vec(),
                Refusal::Internal("it broke".to_owned()),
            ),
            (
                b"\x09?".to_vec(),
                Refusal::Internal("the compiler did not answer".to_owned()),
            ),
            (
                Vec::new(),
                Refusal::Internal("the compiler did not answer".to_owned()),
            ),
        ] {
            assert_eq!(read(answer, &fingerprint).err(), Some(expected));
        }
    }
}
