//! How much memory there is: of the machine, or of the container when that is less.

/// Taken when the system does not say.
const FALLBACK_BYTES: u64 = 4 << 30;

/// Memory of this machine or container, in bytes.
pub fn available_bytes() -> u64 {
    let machine = machine_bytes().unwrap_or(FALLBACK_BYTES);
    container_bytes().map_or(machine, |container| container.min(machine))
}

#[cfg(target_os = "linux")]
fn machine_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

#[cfg(not(target_os = "linux"))]
fn machine_bytes() -> Option<u64> {
    let output = std::process::Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// The limit of the control group, version 2 or 1. Version 1 writes a huge number for "no limit".
fn container_bytes() -> Option<u64> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}
