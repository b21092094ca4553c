// SPDX-License-Identifier: MIT
//
// What a process gives up for good before foreign bytes reach it: a value says what it still needs,
// enter() takes everything else away.
//
// What makes it hard is that the list is never only ours: libc, GLib and libslirp make calls, too,
// and the next release of one of them makes others. A filter that is too tight takes the network
// from somebody whose only fault was an upgrade. So what is refused fails with an error that the
// caller can survive (mode `errno`), the kernel's log names it, calls that a library tries first
// and does without fail as on a kernel that has not got them, and the test suite runs in the mode
// that kills. The other difficulty is that kernels differ: what this one cannot do is a line in the
// report, not silence, and no reason to do nothing.
//
// Capabilities and paths (Landlock) are of the calling thread alone and of those it starts later;
// calls are filtered in all threads. So: to be called before there are others. It cannot be undone.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"

namespace lanyard {

enum class SandboxMode : std::uint8_t {
  off,
  log,     // everything is allowed; what would be refused is in the kernel's log
  refuse,  // what is not allowed fails with EPERM, and is in the kernel's log
  kill,    // what is not allowed ends the process with SIGSYS
};

// off, log, errno, kill
std::optional<SandboxMode> parse_sandbox_mode(std::string_view text);
std::string_view text_of(SandboxMode mode);
// refuse; in a program with a sanitizer off, which needs calls of its own.
SandboxMode default_sandbox_mode();
// As the environment variable LANYARD_SANDBOX says; an error when it says something else.
Result<SandboxMode> sandbox_mode_from_environment(SandboxMode otherwise);

// An argument of a call, of which the bits of `mask` are `value`. The kernel looks at 32 bits of
// most arguments, and so does the mask.
struct ArgumentIs {
  unsigned index;
  std::uint64_t value;
  std::uint64_t mask = 0xffffffff;
};

// A system call by name, when all of its arguments are so. Several of one name: one must fit.
struct AllowedCall {
  std::string_view name;
  std::vector<ArgumentIs> arguments = {};
};

// A file, or a directory and all that is below it.
struct AllowedPath {
  std::string path;
  bool read = true;
  bool change = false;   // make, write, rename and remove files
  bool sockets = false;  // make and remove sockets
  bool remove_directories = false;
};

struct ResourceLimit {
  int resource;  // RLIMIT_...
  std::uint64_t most;
};

struct SandboxPolicy {
  std::vector<AllowedCall> calls;
  std::vector<AllowedPath> paths;
  bool abstract_sockets = false;   // unix(7): to reach those of processes outside
  std::uint64_t capabilities = 0;  // bits of those that are kept if they are there
  std::vector<ResourceLimit> limits;
};

struct SandboxReport {
  SandboxMode mode = SandboxMode::off;
  std::size_t calls = 0;            // by name
  int landlock = 0;                 // version of the interface; 0: paths are not restricted
  std::vector<std::string> absent;  // sentences: what could not be had, and why

  // What is in force, in one line.
  std::string text() const;
};

Result<SandboxReport> enter_sandbox(const SandboxPolicy& policy, SandboxMode mode);

// The parts, for those who need one alone. --------------------------------------------------------

// Empties all capability sets but for these bits, of which a process has at most what it had.
Result<void> keep_capabilities(std::uint64_t kept);

// No debugger and no core file of the same user; /proc/self then belongs to root.
Result<void> forbid_dumps();

// The version of Landlock (landlock(7)), or an error that says why there is none.
Result<int> restrict_paths(std::span<const AllowedPath> paths, bool abstract_sockets);

// How many calls are allowed. An error of ENOSYS: this program was built without libseccomp.
Result<std::size_t> filter_system_calls(std::span<const AllowedCall> calls, SandboxMode mode);

}  // namespace lanyard
