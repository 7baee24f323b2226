# SPDX-License-Identifier: GPL-2.0-or-later
# What "info" can be asked for; the form is told in hmp-commands.hx.

command: chardev
help: show the character devices
call: hmp_info_chardev
| One line per device: its id and what it is connected to.

command: cpus
help: show the vCPUs
call: hmp_info_cpus
| One line per vCPU with the host's thread that runs it; `*` marks the chosen
| one.

command: dirty_rate
help: show how fast the guest writes its memory
call: hmp_info_dirty_rate
| What `calc_dirty_rate` has found, or that it is still at work; with `-r`, of
| each vCPU too. MB are MiB.

command: kvm
help: show how KVM is used
call: hmp_info_kvm
| Whether the guest runs on KVM, and how its dirty log is cleared.

command: memdev
help: show the memory backends
call: hmp_info_memdev
| What is behind the guest's RAM.

command: memory_size_summary
help: show how much memory the guest has, in bytes
call: hmp_info_memory_size_summary
| What it started with, and what was added.

command: migrate
help: show the migration's state
call: hmp_info_migrate
| All that `query-migrate` tells.

command: migrate_capabilities
help: show the capabilities of migration
call: hmp_info_migrate_capabilities
| One line each, on or off.

command: migrate_parameters
help: show the parameters of migration
call: hmp_info_migrate_parameters
| One line each, with units.

command: mtree
help: show the map of guest-physical memory
call: hmp_info_mtree
| One line per range.

command: name
help: show the guest's name
call: hmp_info_name
| As given by `-name`.

command: ram_digest
help: show digests of the guest's RAM
call: hmp_info_ram_digest
| XXH3-128 of each RAM block and of all together. Stop the guest first.

command: ramblock
help: show the blocks of RAM
call: hmp_info_ramblock
| One line per block.

command: registers
args: all:-a,vcpu:i?
params: [-a|vcpu]
help: show the registers (-a: of all vCPUs; vcpu: of this one)
call: hmp_info_registers
| Those of the chosen vCPU if nothing is said.

command: status
help: show whether the guest runs
call: hmp_info_status
| The run state, in brackets where it is more than paused.

command: uuid
help: show the guest's UUID
call: hmp_info_uuid
| All zeros if none was given.

command: vcpu_dirty_limit
help: show the limits of how fast vCPUs dirty memory
call: hmp_info_vcpu_dirty_limit
| One line per vCPU that is limited, by the user or by a migration, with its
| rate of the last period. MB are MiB.

command: version
help: show the version
call: hmp_info_version
| The version of QEMU whose interface this is, and the program's own.
