// SPDX-License-Identifier: MIT
//
// How many system calls each confined process may make, with a keeper and a TAP. One that looks for
// frames without pause (--busy-poll) may make one more. SECURITY.md says so, too. None of them has
// a thread of its own for frames.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <string_view>

#include "backend/gateway/confinement.h"
#include "switch/daemon/confinement.h"
#include "switch/daemon/networks_confinement.h"

namespace lanyard {
namespace {

constexpr std::size_t kMost = 40;

SandboxPolicy one_switch() {
  DaemonOptions options;
  options.keeper = true;
  options.taps = {"tap0"};
  options.busy_poll_us = 50;
  return switch_sandbox(options);
}

SandboxPolicy networks() {
  BackendRegistry backends;
  register_builtin_backends(backends);
  return NetworksConfinement({.runtime_directory = "/run/lanyard", .busy_poll = true}, backends)
      .policy();
}

SandboxPolicy gateway(NetworkKind kind) {
  NetworkConfig config;
  config.name = "lab";
  config.kind = kind;
  return gateway_sandbox(config, "/var/lib/lanyard");
}

TEST(SystemCalls, AreFewInEachRole) {
  const struct {
    const char* role;
    SandboxPolicy policy;
  } rows[] = {
      {"one switch", one_switch()},
      {"networks", networks()},
      {"gateway, nat", gateway(NetworkKind::nat)},
      {"gateway, host-only", gateway(NetworkKind::host_only)},
  };
  for (const auto& [role, policy] : rows) {
    std::set<std::string_view> names;
    for (const AllowedCall& call : policy.calls) names.insert(call.name);
    RecordProperty(role, static_cast<int>(names.size()));
    EXPECT_LE(names.size(), kMost) << role;
    std::printf("%-22s %zu system calls\n", role, names.size());
  }
}

// Those that only ever help who has taken a process over.
TEST(SystemCalls, StartNothingAndOpenNoWayOut) {
  for (const SandboxPolicy& policy : {one_switch(), networks(), gateway(NetworkKind::nat)}) {
    for (const AllowedCall& call : policy.calls) {
      for (const char* const never : {"execve", "execveat", "fork", "vfork", "clone", "clone3",
                                      "kill", "ptrace", "mount", "setuid", "io_uring_setup"}) {
        EXPECT_NE(call.name, never);
      }
    }
  }
}

}  // namespace
}  // namespace lanyard
