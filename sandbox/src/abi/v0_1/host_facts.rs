//! `host-facts`.

use super::View;
use crate::bindings::picket::checker::host_facts as wit;
use crate::grant::FactKind;
use crate::host::facts::{self, FactError, cpu, disk, interface, memory, pressure, process, service, uptime};

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn error(error: FactError) -> wit::Error {
    let kind = match error {
        FactError::Denied(_) => wit::ErrorKind::Denied,
        FactError::Unsupported(_) => wit::ErrorKind::Unsupported,
        FactError::Other(_) => wit::ErrorKind::Other,
    };
    wit::Error {
        kind,
        message: error.to_string(),
    }
}

fn times(times: cpu::Times) -> wit::CpuTimes {
    let [
        user_s,
        nice_s,
        system_s,
        idle_s,
        iowait_s,
        irq_s,
        softirq_s,
        steal_s,
    ] = times;
    wit::CpuTimes {
        user_s,
        nice_s,
        system_s,
        idle_s,
        iowait_s,
        irq_s,
        softirq_s,
        steal_s,
    }
}

fn pressure(pressure: pressure::Pressure) -> wit::Pressure {
    let ([some_avg10, some_avg60, some_avg300], [full_avg10, full_avg60, full_avg300]) =
        (pressure.some, pressure.full);
    wit::Pressure {
        some_avg10,
        some_avg60,
        some_avg300,
        full_avg10,
        full_avg60,
        full_avg300,
    }
}

fn file_system(found: disk::FileSystem) -> wit::FileSystem {
    wit::FileSystem {
        mount: found.mount,
        device: found.device,
        kind: found.kind,
        options: found.options,
        size: found.size,
        free: found.free,
        available: found.available,
        inodes: found.inodes,
        inodes_free: found.inodes_free,
        read_only: found.read_only,
        extra: Vec::new(),
    }
}

fn process(found: process::Process) -> wit::Process {
    wit::Process {
        pid: found.pid,
        parent: found.parent,
        name: found.name,
        command: found.command,
        user: found.user,
        state: found.state,
        cpu_s: found.cpu_s,
        resident_bytes: found.resident_bytes,
        started_unix_ms: found.started_unix_ms,
        threads: found.threads,
        open_files: found.open_files,
        extra: Vec::new(),
    }
}

fn interface(found: interface::Interface) -> wit::NetworkInterface {
    let [receive_bytes, receive_packets, receive_errors, receive_drops] = found.receive;
    let [transmit_bytes, transmit_packets, transmit_errors, transmit_drops] = found.transmit;
    wit::NetworkInterface {
        name: found.name,
        up: found.up,
        speed: found.speed,
        mtu: found.mtu,
        addresses: found.addresses,
        receive_bytes,
        receive_packets,
        receive_errors,
        receive_drops,
        transmit_bytes,
        transmit_packets,
        transmit_errors,
        transmit_drops,
        extra: Vec::new(),
    }
}

fn service(found: service::Service) -> wit::Service {
    wit::Service {
        name: found.name,
        active: found.active,
        sub: found.sub,
        enabled: found.enabled,
        restarts: found.restarts,
        since_unix_ms: found.since_unix_ms,
        extra: vec![
            ("load".to_owned(), found.load),
            ("description".to_owned(), found.description),
        ],
    }
}

impl wit::Host for View<'_> {
    async fn cpu(&mut self) -> Result<wit::CpuFacts, wit::Error> {
        let found = facts::read(&self.0.guard, FactKind::Cpu, cpu::read)
            .await
            .map_err(error)?;
        let [load1, load5, load15] = found.load;
        Ok(wit::CpuFacts {
            total: times(found.total),
            cores: found.cores.into_iter().map(times).collect(),
            load1,
            load5,
            load15,
            pressure: found.pressure.map(pressure),
            extra: Vec::new(),
        })
    }

    async fn memory(&mut self) -> Result<wit::MemoryFacts, wit::Error> {
        let found = facts::read(&self.0.guard, FactKind::Memory, memory::read)
            .await
            .map_err(error)?;
        Ok(wit::MemoryFacts {
            total: found.total,
            available: found.available,
            free: found.free,
            buffers: found.buffers,
            cached: found.cached,
            swap_total: found.swap_total,
            swap_free: found.swap_free,
            oom_kills: found.oom_kills,
            pressure: found.pressure.map(pressure),
            extra: Vec::new(),
        })
    }

    async fn disks(&mut self) -> Result<Vec<wit::FileSystem>, wit::Error> {
        let found = facts::read(&self.0.guard, FactKind::Disk, disk::read)
            .await
            .map_err(error)?;
        Ok(found.into_iter().map(file_system).collect())
    }

    async fn processes(&mut self) -> Result<Vec<wit::Process>, wit::Error> {
        let guard = &self.0.guard;
        let with_arguments = guard.grants().allows_facts(FactKind::ProcessArguments).is_ok();
        let read = move || process::read(with_arguments);
        let found = facts::read(guard, FactKind::Processes, read)
            .await
            .map_err(error)?;
        Ok(found.into_iter().map(process).collect())
    }

    async fn services(&mut self, patterns: Vec<String>) -> Result<Vec<wit::Service>, wit::Error> {
        let run = &*self.0;
        let found = service::read(&run.guard, &run.services.system_bus, patterns, run.deadline)
            .await
            .map_err(error)?;
        Ok(found.into_iter().map(self::service).collect())
    }

    async fn interfaces(&mut self) -> Result<Vec<wit::NetworkInterface>, wit::Error> {
        let found = facts::read(&self.0.guard, FactKind::Interfaces, interface::read)
            .await
            .map_err(error)?;
        Ok(found.into_iter().map(interface).collect())
    }

    async fn uptime(&mut self) -> Result<wit::UptimeFacts, wit::Error> {
        let found = facts::read(&self.0.guard, FactKind::Uptime, uptime::read)
            .await
            .map_err(error)?;
        Ok(wit::UptimeFacts {
            uptime_s: found.uptime_s,
            boot_unix_ms: found.boot_unix_ms,
            kernel: found.kernel,
            hostname: found.hostname,
            users: found.users,
            extra: Vec::new(),
        })
    }
}
