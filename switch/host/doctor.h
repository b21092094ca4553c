// SPDX-License-Identifier: MIT
//
// `lanyard doctor`: what on this host keeps networks from working, or will under load, each with
// the line that mends it. It only looks, changes nothing, and needs no right; what it may not see
// it says.
// Everything is read through the context, so that a directory can stand for the host. Any thread;
// it runs programs and waits for them, so not the data thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "switch/host/overlap.h"
#include "switch/network/network_config.h"

namespace lanyard {

struct DoctorFinding {
  enum class Level { ok, note, problem };  // note: works, but not all of it or not under load
  Level level = Level::ok;
  std::string what;    // a sentence
  std::string remedy;  // a line to paste; empty when level is ok
};

// One of a running daemon's.
struct DoctorProcess {
  std::string what;  // "gateway nat"
  pid_t pid = 0;
};

struct DoctorContext {
  std::string root;                     // in front of /proc, /sys, /dev and /etc
  std::vector<NetworkConfig> networks;  // of the configuration that would be used
  std::string control_socket;           // of the daemon; empty: not asked about
  std::vector<DoctorProcess> processes;
  int landlock = 0;                   // the version of this kernel's; 0: it has none
  std::vector<HostRange> ranges;      // of the host
  bool privileged = false;            // CAP_NET_ADMIN is there
  std::string user;                   // for the lines to paste
  std::vector<gid_t> groups;          // of this process
  std::uint64_t descriptors_max = 0;  // RLIMIT_NOFILE that it may have
  std::string libslirp_version;       // empty: not there
  // Standard output and error of a program, nullopt when it is not there or takes too long.
  std::function<std::optional<std::string>(const std::vector<std::string>& command)> run;
  std::function<bool(const std::string& path)> answers;  // whether a daemon listens there
};

// This host, and the user who asks.
DoctorContext doctor_context_of_this_host(std::vector<NetworkConfig> networks,
                                          std::string control_socket);

// Problems first, then notes, then what is right.
std::vector<DoctorFinding> run_doctor(const DoctorContext& context);

}  // namespace lanyard
