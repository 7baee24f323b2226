# SPDX-License-Identifier: GPL-2.0-or-later
# The commands of the monitor for people. scripts/hxtool.py makes of this text
# the table of the program, its help, and the manual.
#
# One command is a block of lines, blocks are parted by an empty line:
#   command: its name; "cont|c" has two
#   args:    what is parsed, see monitor/hmp-args.h; nothing if left out
#   params:  what help shows of them
#   help:    one line; a second help: line is shown below the first
#   call:    the C function
#   | text   of the manual

command: help|?
args: name:S?
params: [cmd]
help: show the help
call: hmp_help
| Show all commands, or one.

command: info
params: [subcommand]
help: show various information about the system state
call: hmp_info
| Show what is asked for; alone, list what can be asked for.

command: quit|q
help: end the program
call: hmp_quit
| End the program at once. The guest is not asked.

command: stop|s
help: stop the guest
call: hmp_stop
| Stop all vCPUs.

command: cont|c
help: let the guest run
call: hmp_cont
| Let a stopped guest run on.

command: system_reset
help: reset the machine
call: hmp_system_reset
| Reset the machine as by its button.

command: system_powerdown
help: press the power button
call: hmp_system_powerdown
| Ask the guest to switch itself off.

command: system_wakeup
help: wake a suspended guest
call: hmp_system_wakeup
| Wake a guest that sleeps in RAM (ACPI S3).

command: cpu
args: index:i
params: index
help: choose the vCPU that further commands are about
call: hmp_cpu
| Chooses for `info registers`, `x`, `memsave` and for registers in expressions.

command: x
args: fmt:/,addr:l
params: /fmt addr
help: show virtual memory from 'addr' on
call: hmp_memory_dump
| Show memory as the chosen vCPU sees it. `fmt` is a count, a format (x
| hexadecimal, d signed, u unsigned, o octal, c character) and the size of an
| item (b 1, h 2, w 4, g 8 bytes), each of which can be left out. Addresses are
| expressions; `$rip` and other registers can be used in them.

command: xp
args: fmt:/,addr:l
params: /fmt addr
help: show physical memory from 'addr' on
call: hmp_physical_memory_dump
| The same as `x`, by guest-physical address.

command: memsave
args: val:l,size:l,filename:s
params: addr size file
help: save virtual memory from 'addr' on to a file
call: hmp_memsave
| Write `size` bytes of memory, as the chosen vCPU sees it, to a file.

command: pmemsave
args: val:l,size:l,filename:s
params: addr size file
help: save physical memory from 'addr' on to a file
call: hmp_pmemsave
| Write `size` bytes of guest-physical memory to a file.

command: screendump
args: filename:s,format:-fs,device:s?,head:i?
params: filename [-f format] [device [head]]
help: save what a display shows to a file, as ppm or png
call: hmp_screendump
| Write a picture of the display of `device` (the first one if it is left out)
| to a file. The format is `ppm` unless it is said to be `png`.

command: getfd
args: fdname:s
params: name
help: receive a file descriptor and give it a name
call: hmp_getfd
| Take the descriptor that came with this command over a UNIX socket.

command: closefd
args: fdname:s
params: name
help: close a file descriptor that has a name
call: hmp_closefd
| Close a descriptor that `getfd` has named.

command: migrate
args: detach:-d,uri:s
params: [-d] uri
help: migrate to URI (using -d to not wait for completion)
call: hmp_migrate
| Move the guest to `tcp:host:port`, `unix:path`, `fd:name` or `exec:command`,
| or save it to `file:name`.

command: snapshot_save
args: wait:-w,filename:s
params: [-w] filename
help: save the guest to a file while it runs on (-w: wait and show progress)
call: hmp_snapshot_save
| `info migrate` shows how far it is and what the guest felt; `migrate_cancel`
| gives it up, unless the file is whole already. To restore, start with
| `-incoming file:filename`, and with `-global migration.x-restore-mode=read` if
| it is to be saved in this way again.

command: migrate_cancel
help: cancel the current migration
call: hmp_migrate_cancel
| Give up; the guest goes on here. `info migrate` says `cancelled` when all is
| cleared away; a child of `exec:` that ignores SIGTERM gets a second for that.

command: migrate_continue
args: state:s
params: state
help: go on from the given state in which the migration waits
call: hmp_migrate_continue
| The state is `pre-switchover`.

command: migrate_incoming
args: uri:s
params: uri
help: begin to wait for a guest, after -incoming defer
call: hmp_migrate_incoming
| The same forms as for `migrate`.

command: migrate_set_capability
args: capability:s,state:b
params: capability state
help: switch a capability of migration on or off
call: hmp_migrate_set_capability
| See `info migrate_capabilities`.

command: migrate_set_parameter
args: parameter:s,value:s
params: parameter value
help: set a parameter of migration
call: hmp_migrate_set_parameter
| See `info migrate_parameters`.

command: calc_dirty_rate
args: dirty_ring:-r,dirty_bitmap:-b,second:l,sample_pages_per_GB:l?
params: [-r] [-b] second [sample_pages_per_GB]
help: measure how fast the guest writes its memory (-r: by the dirty ring,
help: -b: by the dirty log, else by sampling pages)
call: hmp_calc_dirty_rate
| Look for 1 to 60 seconds; `info dirty_rate` shows the result. Samples are
| 128 to 16384 pages per GiB, 512 if nothing is said, and not with `-b` or
| `-r`. `-r` tells the rate of each vCPU too, and needs
| `-accel kvm,dirty-ring-size=N`.

command: set_vcpu_dirty_limit
args: dirty_rate:l,cpu_index:l?
params: dirty_rate [cpu_index]
help: limit how fast vCPUs dirty memory, in MB/s (0: lift the limit)
call: hmp_set_vcpu_dirty_limit
| All vCPUs, or the one of that index. A vCPU that writes more sleeps, some
| milliseconds at a time; one below its limit is not touched. MB are MiB. Needs
| `-accel kvm,dirty-ring-size=N`.

command: cancel_vcpu_dirty_limit
args: cpu_index:l?
params: [cpu_index]
help: lift the limits of how fast vCPUs dirty memory
call: hmp_cancel_vcpu_dirty_limit
| Of all vCPUs, or of the one of that index.
