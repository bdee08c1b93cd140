#[derive(Debug, clap::Args)]
pub struct Arguments {}
#[derive(Debug, clap::Args)]
pub struct RunArguments {}
pub async fn run(_a: Arguments) -> std::process::ExitCode {
    todo!()
}
pub async fn run_file(_a: RunArguments) -> std::process::ExitCode {
    todo!()
}
